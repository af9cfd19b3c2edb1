import { assert, assertEquals } from "@std/assert";
import { soak } from "./soak.ts";

Deno.test("soak: two rounds through the proxy lose nothing, say what went wrong, and leave nothing", async () => {
  const result = await soak({ seconds: 0, seed: 7, connections: 100 });
  assertEquals(result.problems, []);
  // The proxy did do something, and let something through.
  assert(result.faulty > 3 && result.clean > 50, JSON.stringify(result));
});
