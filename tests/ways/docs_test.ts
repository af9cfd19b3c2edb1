import { assertEquals } from "@std/assert";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { runText } from "../support/child.ts";

const text = Deno.readTextFileSync(new URL("../../docs/integration.md", import.meta.url));
const programs = [...text.matchAll(/^## (.*)$|^```ts\n([^]*?)^```$/gm)].reduce(
  ({ heading, found }, [, title, code]) =>
    title === undefined
      ? { heading, found: [...found, { heading, code }] }
      : { heading: title, found },
  { heading: "", found: [] as { heading: string; code: string }[] },
).found;

/** Runs a program of the page; returns the last line that it prints. */
async function run(code: string, args: string[]): Promise<string> {
  const root = new URL("../../", import.meta.url);
  const program = code.replace('"@sluice/websocket"', `"${root}mod.ts"`);
  const flags = ["-A", "--config", new URL("deno.json", root).pathname];
  const { code: status, stdout, stderr } = await runText(program, flags, args);
  assertEquals(status, 0, stderr);
  return stdout.trim().split("\n").at(-1)!;
}

const expected = [
  "through Deno.serve",
  "through Hono",
  "beside Hono",
  "Hono behind a route",
  "Ann: the same handler",
  "two of them over HTTP/2",
  "through Express",
  "through Fastify",
  "through streams",
  "through a Unix socket",
  "hello alice",
  "through a proxy",
];

Deno.test("docs/integration.md has no other programs than those tested here", () => {
  assertEquals(programs.length, expected.length);
});

for (const [index, { heading, code }] of programs.entries()) {
  if (heading === "Through a proxy") continue;
  Deno.test(`docs/integration.md, ${heading}: program ${index + 1}`, async () => {
    using certificates = makeCertificates();
    const { dir } = certificates;
    const names = ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"];
    // The arguments are in the order of these names, and a program uses only the first ones.
    const files = heading.startsWith("TLS") ? names : names.slice(0, 3);
    const args = code.includes("Deno.args.map") ? files.map((name) => `${dir}/${name}`) : [];
    assertEquals(await run(code, args), expected[index]);
  });
}

for (const [name, scheme] of [["tinyproxy", "http"], ["microsocks", "socks5"]]) {
  const program = findProgram(name);
  Deno.test({
    name: `docs/integration.md, Through a proxy: ${name}`,
    ignore: skip(program, name),
    fn: async () => {
      const port = freePort();
      const conf = await Deno.makeTempFile();
      await Deno.writeTextFile(conf, `Port ${port}\nListen 127.0.0.1\nMaxClients 9\n`);
      const args = name === "tinyproxy" ? ["-d", "-c", conf] : ["-i", "127.0.0.1", "-p", `${port}`];
      {
        await using _server = await startServer(program!, args, port);
        const { code } = programs.at(-1)!;
        assertEquals(await run(code, [`${scheme}://127.0.0.1:${port}`]), expected.at(-1));
      }
      await Deno.remove(conf);
    },
  });
}
