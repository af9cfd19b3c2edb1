import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { deno } from "../support/child.ts";
import { runTool } from "./_tool.ts";

/** Invalid input, with the documented exit code and the line on standard error. Nothing is printed on standard output. */
const CASES: [args: string[], code: number, line: RegExp][] = [
  [[], 2, /Missing command/],
  [["frob"], 2, /Unknown command frob/],
  [["connect"], 2, /Missing argument URL/],
  [["connect", "ws://a", "ws://b"], 2, /Unexpected argument ws:\/\/b/],
  [["connect", "ws://a", "--nope"], 2, /Unknown option --nope/],
  [["connect", "ws://a", "-z"], 2, /Unknown option -z/],
  [["connect", "ws://a", "--json=yes"], 2, /Option --json takes no value/],
  [["connect", "ws://a", "--ca"], 2, /Option --ca needs a value/],
  [["connect", "ws://a", "--ca", "--json"], 2, /Option --ca needs a value/],
  [["connect", "ws://a", "--ca="], 2, /Option --ca needs a value/],
  [["connect", "ws://a", "--ca", "x", "--ca", "y"], 2, /Option --ca was given twice/],
  [["connect", "--", "--json", "ws://a"], 2, /Unexpected argument ws:\/\/a/],
  [["connect", "ws://a", "--auth", "nonsense"], 2, /--auth must be USER:PASSWORD/],
  [["connect", "ws://a", "-m", "x", "--file", "y"], 2, /exclude each other/],
  [["connect", "ws://a", "--cert", "x"], 2, /--cert requires --key/],
  [["bench", "ws://a", "--rate", "5", "-d", "1"], 2, /exclude each other/],
  [["bench", "ws://a", "--rate", "0"], 2, /--rate must be above 0/],
  [["connect", "ws://a", "-H", "nonsense"], 2, /--header must be "Name: value"/],
  [["connect", "ws://a", "-H", "Host: b"], 2, /host/i],
  [["connect", "ws://a", "--timeout", "soon"], 2, /--timeout must be a number/],
  [["connect", "ws://a", "--proxy", "ftp://b"], 2, /proxy/],
  [["connect", "ws://a:b"], 2, /not a valid URL/],
  [["connect", "ftp://x"], 2, /scheme/],
  [["connect", "ws://nohost.invalid"], 3, /Cannot connect to nohost\.invalid:80/],
  [["connect", "ws://127.0.0.1:1"], 3, /Connection refused/],
  [["connect", "ws://127.0.0.1:1", "--proxy", "http://127.0.0.1:1"], 3, /refused/],
  [["connect", "ws://127.0.0.1:1", "--ca", "no.pem"], 1, /Cannot read --ca no\.pem: no such file/],
  [["listen"], 2, /Missing argument PORT/],
  [["listen", "99999"], 2, /0 to 65535: received 99999/],
  [["listen", ":99999"], 2, /0 to 65535: received 99999/],
  [["listen", "here"], 2, /Cannot listen on here: use PORT or HOST:PORT/],
  [["listen", "192.0.2.1:0"], 3, /address/i],
  [["listen", "0", "--echo", "--broadcast"], 2, /exclude each other/],
  [["listen", "0", "--cert", "x"], 2, /--cert requires --key/],
  [["listen", "0", "--hostname", "192.0.2.1"], 3, /address/i],
  [["bench", "ws://127.0.0.1:1"], 3, /Connection refused/],
  [["bench", "ws://a", "--connections", "0"], 2, /at least 1/],
  [["bench", "ws://a", "--depth", "1.5"], 2, /whole number/],
  [["relay", "0"], 2, /Missing argument URL/],
  [["relay", "here", "ws://a"], 2, /Cannot listen on here/],
  [["relay", "0", "ftp://a"], 2, /scheme/],
  [["relay", "0", "ws://a", "--origin", "example.com"], 2, /as an origin/],
  [["listen", "0", "--max-connections", "-1"], 2, /--max-connections needs a value/],
  [["listen", "0", "--max-connections=-1"], 2, /at least 0/],
];

Deno.test("invalid input leads to one line on standard error and the documented exit code", async (t) => {
  for (let i = 0; i < CASES.length; i += 2) {
    await Promise.all(
      CASES.slice(i, i + 2).map(async ([args, expected, line]) => {
        const { code, stdout, stderr } = await runTool(args);
        const shown = `sluice ${args.join(" ")}: ${code} ${stderr}`;
        assertEquals(code, expected, shown);
        assertEquals(stdout, "", shown);
        assertMatch(stderr, /^sluice: [^\n]+\n$/, shown);
        assertMatch(stderr, line, shown);
      }),
    );
  }
  await t.step("a refusal names status and reason", async () => {
    await using ctx = new Context();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      onHandshake: () => new Response("no \x1b[31mentry\n", { status: 403 }),
    });
    const { code, stderr } = await runTool(["connect", listener.url]);
    assertEquals(code, 5);
    assertMatch(stderr, /^sluice: .*403.*: no \\u001b\[31mentry\n$/);
  });
  await t.step(
    "an untrusted certificate exits with 4, and --insecure and --ca avoid it",
    async () => {
      using certificates = makeCertificates();
      await using ctx = new Context();
      const listener = ctx.listen({ hostname: "127.0.0.1", tls: certificates.server });
      const { code, stderr } = await runTool(["connect", listener.url]);
      assertEquals(code, 4, stderr);
      assertMatch(stderr, /^sluice: .*certificate.*\n$/);
      const insecure = await runTool(["connect", listener.url, "--insecure", "--linger=0"]);
      assertEquals(insecure.code, 0, insecure.stderr);
      const pem = `${certificates.dir}/trusted.pem`;
      await Deno.writeTextFile(pem, certificates.ca);
      const trusted = await runTool(["connect", listener.url, "--ca", pem, "--linger=0"]);
      assertEquals(trusted.code, 0, trusted.stderr);
    },
  );
  await t.step("fault 62: a missing client certificate exits with 4, and is named", async () => {
    using certificates = makeCertificates();
    await using ctx = new Context();
    const tls = { ...certificates.server, clientCaCerts: certificates.ca };
    const listener = ctx.listen({ hostname: "127.0.0.1", tls });
    const { code, stderr } = await runTool(["connect", listener.url, "--insecure"]);
    assertEquals(code, 4, stderr);
    assertMatch(stderr, /^sluice: .*requires a client certificate.*\n$/);
  });
  await t.step("a port that is in use exits with 3", async () => {
    await using ctx = new Context();
    const listener = ctx.listen({ hostname: "127.0.0.1" });
    const { code, stderr } = await runTool(["listen", String(listener.port)]);
    assertEquals(code, 3);
    assertMatch(stderr, /^sluice: .*in use.*\n$/);
  });
  await t.step("a missing permission exits with 6, and is named", async () => {
    const args = ["run", "--no-prompt", "cli.ts", "connect", "ws://127.0.0.1:1"];
    const { code, stderr } = await deno(args, { cwd: new URL("../..", import.meta.url) });
    assertEquals(code, 6);
    assertMatch(stderr, /sluice: Requires net access .*--allow-net/);
  });
});

Deno.test("--help of every command is printed on standard output, with exit code 0; exit codes are listed once", async () => {
  const all = await runTool(["--help"]);
  assertEquals([all.code, all.stderr], [0, ""]);
  assertMatch(all.stdout, /Examples:[^]*Exit codes:\n {2}0 /);
  assertEquals((await runTool(["help"])).stdout, all.stdout);
  for (const command of ["connect", "listen", "bench", "relay"]) {
    const { code, stdout, stderr } = await runTool([command, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /Examples:[^]*Exit codes: sluice --help\n$/);
    assertEquals((await runTool(["help", command])).stdout, stdout);
  }
  const unknown = await runTool(["help", "frob"]);
  assertEquals(unknown.code, 2);
  assertMatch(unknown.stderr, /Unknown command frob/);
});

Deno.test("--version prints the version of the package", async () => {
  const { version } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  for (const option of ["--version", "-V"]) {
    const { code, stdout } = await runTool([option]);
    assertEquals([code, stdout], [0, `sluice ${version} (Deno ${Deno.version.deno})\n`]);
  }
});

Deno.test("--json: a failure is printed as an object, too", async () => {
  await using ctx = new Context({ onError: () => {} });
  const { url } = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => new Response("no", { status: 403 }),
  });
  const cases: [args: string[], error: Record<string, unknown>][] = [
    [["connect", url], { exitCode: 5, status: 403 }],
    [["connect", "ws://127.0.0.1:1"], { exitCode: 3 }],
    [["bench", "ws://127.0.0.1:1"], { exitCode: 3 }],
    [["listen", "0", "--max-connections=-1"], { exitCode: 2 }],
    [["relay", "0", "ftp://a"], { exitCode: 2 }],
  ];
  await Promise.all(cases.map(async ([args, expected]) => {
    const { code, stdout, stderr } = await runTool([...args, "--json"]);
    const { type, message, ...rest } = JSON.parse(stdout);
    assertEquals([type, rest, code], ["error", expected, expected.exitCode]);
    assert(stderr.startsWith(`sluice: ${message}`), `${stderr}: ${message}`);
  }));
});
