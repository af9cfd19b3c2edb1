import { assertEquals } from "@std/assert";
import { deno } from "./support/child.ts";

// npm packages that use `ws` or a browser's class, on this library's classes. They are in a folder with its own lock, since
// every program with npm imports fetches all packages of its lock. There a stand-in replaces `ws`, as docs/ws.md explains.

const ROOT = new URL("../", import.meta.url).pathname;

async function succeed(cwd: string, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await deno(args, { cwd });
  assertEquals(code, 0, stdout + stderr);
}

Deno.test("npm packages that use ws or a browser's WebSocket work with this library's classes", async () => {
  await succeed(
    ROOT,
    "bundle",
    "--quiet",
    "--platform=deno",
    "-o",
    "tests/programs/ws/ws.mjs",
    "ws.ts",
  );
  // Types of some packages don't check in Deno.
  await succeed(`${ROOT}tests/programs`, "test", "--quiet", "--allow-all", "--no-check", ".");
});
