import { assert, assertEquals, assertMatch } from "@std/assert";
import { deno, runText } from "../support/child.ts";

const ROOT = new URL("../../", import.meta.url);

/** Runs a program that imports the library, with exactly these permissions. */
function run(code: string, ...flags: string[]) {
  const program = code.replace("@sluice/websocket", new URL("mod.ts", ROOT).href);
  return runText(program, ["--no-prompt", "--no-config", ...flags]);
}

const ECHO = `
import { Context } from "@sluice/websocket";
await using ctx = new Context({ compression: true });
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => conn.send(data),
  handler: () => new Response("page"),
});
const conn = ctx.connect(listener.url);
await conn.opened;
conn.send("hello ".repeat(1000));
console.log((await conn.receive()).length);
console.log(await (await fetch(listener.url.replace("ws", "http"))).text());
console.log(await conn.ping() >= 0);
`;

Deno.test("client, server, compression and HTTP need only --allow-net", async () => {
  const { code, stdout, stderr } = await run(ECHO, "--allow-net");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout, "6000\npage\ntrue\n");
});

Deno.test("--allow-net for one host is enough to connect to it", async () => {
  const { code, stdout, stderr } = await run(ECHO, "--allow-net=127.0.0.1");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout, "6000\npage\ntrue\n");
});

Deno.test("fault 27: a handler needs no permission besides the listener's own one", async () => {
  const { code, stdout, stderr } = await run(
    `
    import { Context } from "@sluice/websocket";
    await using ctx = new Context();
    const listener = ctx.listen({ hostname: "0.0.0.0", handler: () => new Response("page") });
    console.log(listener.port > 0);
  `,
    "--allow-net=0.0.0.0",
  );
  assertEquals([code, stdout, stderr], [0, "true\n", ""]);
});

Deno.test("making a context needs no permission", async () => {
  const { code, stderr } = await run(`
    import { Context } from "@sluice/websocket";
    await using ctx = new Context();
    console.log(ctx.stats().connections);
  `);
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("listen throws at once if a permission is missing, and connect rejects opened; the error names it", async () => {
  const listening = await run(`
    import { Context } from "@sluice/websocket";
    new Context().listen({ hostname: "127.0.0.1", port: 8080 });
  `);
  assertEquals(listening.code, 1);
  assertMatch(
    listening.stderr,
    /NotCapable: Requires net access to "127\.0\.0\.1:8080".*--allow-net/,
  );
  const connecting = await run(`
    import { Context } from "@sluice/websocket";
    const conn = new Context().connect("ws://127.0.0.1:8080/");
    const error = await conn.opened.catch((error) => error);
    console.log(error instanceof Deno.errors.NotCapable, error.message);
    console.log((await conn.closed).code);
  `);
  assertEquals(connecting.code, 0, connecting.stderr);
  assertMatch(connecting.stdout, /^true Requires net access to "127\.0\.0\.1:8080".*\n1006\n$/);
});

Deno.test("mod.ts has no dependency", async () => {
  const { stdout } = await deno(["info", "--json", new URL("mod.ts", ROOT).href]);
  const { modules } = JSON.parse(stdout);
  const foreign = modules.map(({ specifier }: { specifier: string }) => specifier).filter(
    (specifier: string) => !specifier.startsWith(ROOT.href) && !specifier.startsWith("node:"),
  );
  assertEquals(foreign, []);
  assert(modules.length > 50);
});
