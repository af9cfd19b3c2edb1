import { assert, assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";

Deno.test("socket_tests.ts names exactly the tests that make contexts, in their helpers and programs, too", async () => {
  const root = new URL("../../", import.meta.url);
  const program = new URL("tools/socket_tests.ts", root).pathname;
  const { stdout, stderr } = await deno(
    ["run", "--allow-run", "--allow-read", "--allow-write", program],
  );
  assertEquals(stderr, "");
  const named = new Set(stdout.trimEnd().split("\n"));
  // A direct import, a helper's import, and a program.
  for (const name of ["flow/drain", "ways/adopt", "flow/process"]) {
    assert(named.has(`tests/${name}_test.ts`), name);
  }
  for (const name of ["protocol/mask", "transport/web_stream", "tools/socket_tests"]) {
    assert(!named.has(`tests/${name}_test.ts`), name);
  }
  for (const path of named) assert(Deno.statSync(new URL(path, root)).isFile);
});
