import { assert, assertEquals } from "@std/assert";

Deno.test("socket_tests.ts names exactly the tests that make contexts, in their helpers and programs, too", async () => {
  const root = new URL("../../", import.meta.url);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-run",
      "--allow-read",
      "--allow-write",
      new URL("tools/socket_tests.ts", root).pathname,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  const named = new Set(new TextDecoder().decode(stdout).trimEnd().split("\n"));
  // A direct import, a helper's import, and a program.
  for (const name of ["flow/drain", "ways/adopt", "flow/process"]) {
    assert(named.has(`tests/${name}_test.ts`), name);
  }
  for (const name of ["protocol/mask", "transport/web_stream", "tools/socket_tests"]) {
    assert(!named.has(`tests/${name}_test.ts`), name);
  }
  for (const path of named) assert(Deno.statSync(new URL(path, root)).isFile);
});
