import { assert, assertEquals, assertThrows } from "@std/assert";
import { QueueFullError } from "../../mod.ts";
import { run } from "../support/child.ts";
import { testPair } from "../support/pair.ts";

testPair(
  "fault 7: fragments without payload are limited, for every reason to wait",
  async (pair) => {
    for (const whenQueueFull of ["throw", "drop"] as const) {
      await using both = await pair({}, { maxQueueBytes: 5000, whenQueueFull });
      const { client } = both;
      client.pauseSending();
      let sent = 0;
      const error = assertThrows(() => {
        for (; sent < 1_000_000; sent++) client.sendFragment("");
      }, QueueFullError);
      // A client's frame costs six bytes of header, and headers may cost twice the limit.
      assertEquals([sent, client.queuedBytes, error.data], [Math.ceil(5000 * 2 / 6), 0, ""]);
      assertThrows(() => client.sendFrame({ opcode: 0, payload: "", fin: false }), QueueFullError);
      client.resumeSending();
      await client.flushed();
      client.sendFragment("the end", { final: true });
      assertEquals(await both.server.receive(), "the end");
    }
  },
);

testPair("fault 7: a small limit still has room for 1,024 frames", async (pair) => {
  await using both = await pair({}, { maxQueueBytes: 10 });
  const { client } = both;
  client.pauseSending();
  for (let i = 0; i < 512; i++) client.send("");
  for (let i = 0; i < 512; i++) client.sendFragment("");
  assertThrows(() => client.sendFragment("", { final: true }), QueueFullError);
  client.terminate();
});

Deno.test("fault 37: the memory of a broadcast is released when its receivers have closed", async () => {
  const { stdout, stderr } = await run(new URL("./programs/broadcast_pin.ts", import.meta.url));
  assert(stdout !== "" && Number(stdout) < 50, `${stdout} MiB are held ${stderr}`);
});
