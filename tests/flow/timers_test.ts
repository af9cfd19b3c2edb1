import { assertEquals } from "@std/assert";
import { KeepAlive, type KeptAlive } from "../../src/engine/keep_alive.ts";
import { Timers } from "../../src/util/timers.ts";

/** Counts the platform's timers that `work` makes. */
async function systemTimers(work: () => void | Promise<void>): Promise<number> {
  const original = globalThis.setTimeout;
  let made = 0;
  globalThis.setTimeout = ((...args: Parameters<typeof original>) => {
    made++;
    return original(...args);
  }) as typeof original;
  try {
    await work();
  } finally {
    globalThis.setTimeout = original;
  }
  return made;
}

Deno.test("ten thousand keepalives use one timer of the platform", async () => {
  const timers = new Timers();
  const dogs: KeepAlive[] = [];
  const made = await systemTimers(() => {
    for (let i = 0; i < 10_000; i++) {
      const peer: KeptAlive = {
        owner: { timers },
        settings: { keepAlive: { interval: 60_000, timeout: 60_000 } },
        progress: () => 0,
        readingStopped: () => false,
        keepAlivePing: () => {},
        keepAliveFailed: () => {},
      };
      dogs.push(new KeepAlive(peer));
    }
  });
  assertEquals(made, 1);
  for (const dog of dogs) dog.stop();
});
