import { assert, assertEquals } from "@std/assert";
import { run } from "../support/child.ts";

// In a process of its own, since it counts what the process has open, and test files that run beside it open more.
Deno.test("soak: two rounds through the proxy lose nothing, say what went wrong, and leave nothing", async () => {
  const soak = new URL("soak.ts", import.meta.url);
  const { code, stdout, stderr } = await run(
    soak,
    ...["--seconds", "0", "--seed", "7", "--connections", "100"],
  );
  assertEquals([code, stderr], [0, ""], stdout);
  const result = JSON.parse(stdout);
  // The proxy did do something, and let something through.
  assert(result.faulty > 3 && result.clean > 50, stdout);
});
