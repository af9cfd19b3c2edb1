import { assert, assertEquals } from "@std/assert";

Deno.test("socket_tests.ts names the tests that have contexts, their programs' included, and no others", async () => {
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
  // By an import, by a helper's import, and by a program.
  for (const name of ["flow/drain", "ways/adopt", "flow/process"]) {
    assert(named.has(`tests/${name}_test.ts`), name);
  }
  for (const name of ["protocol/mask", "transport/web_stream", "tools/socket_tests"]) {
    assert(!named.has(`tests/${name}_test.ts`), name);
  }
  for (const path of named) assert(Deno.statSync(new URL(path, root)).isFile);
});
