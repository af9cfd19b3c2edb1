import { assert, assertEquals } from "@std/assert";
import { run } from "../support/child.ts";

// In a process of its own, since it lists open descriptors at the end.
Deno.test("soak: two rounds through the proxy lose nothing, report each cause, and leave nothing open", async () => {
  const args = ["--seconds", "0", "--connections", "100", "--seed", "7"];
  const { code, stdout, stderr } = await run(new URL("./soak.ts", import.meta.url), ...args);
  assertEquals(code, 0, stdout + stderr);
  const { clean, faulty, connections } = JSON.parse(stdout);
  // The proxy has broken some connections, and some have survived.
  assertEquals(connections, 110);
  assert(faulty > 10 && clean > 10, stdout);
});
