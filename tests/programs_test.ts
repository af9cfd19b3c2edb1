import { assert } from "@std/assert";

// npm packages that use `ws` or a browser's class, on this library's classes. They are in a folder with its own lock, since
// every program with npm imports fetches all packages of its lock. There a stand-in replaces `ws`, as docs/ws.md explains.

const ROOT = new URL("../", import.meta.url).pathname;

async function deno(cwd: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert(success, said);
}

Deno.test("npm packages that use ws or a browser's WebSocket work with this library's classes", async () => {
  await deno(
    ROOT,
    "bundle",
    "--quiet",
    "--platform=deno",
    "-o",
    "tests/programs/ws/ws.mjs",
    "ws.ts",
  );
  // Types of some packages don't check in Deno.
  await deno(`${ROOT}tests/programs`, "test", "--quiet", "--allow-all", "--no-check", ".");
});
