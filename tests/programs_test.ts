import { assert } from "@std/assert";

// Programs of npm's on our faces, in a folder with a lock of its own: every program that imports from npm fetches all of
// its lock. There `ws` is replaced by a stand-in, made as docs/ws.md says.

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

Deno.test("programs that were written for ws and for a browser's class run on ours", async () => {
  await deno(
    ROOT,
    "bundle",
    "--quiet",
    "--platform=deno",
    "-o",
    "tests/programs/ws/ws.mjs",
    "ws.ts",
  );
  // Some of their types aren't for Deno.
  await deno(`${ROOT}tests/programs`, "test", "--quiet", "--allow-all", "--no-check", ".");
});
