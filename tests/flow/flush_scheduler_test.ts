import { assertEquals } from "@std/assert";
import { flushAfterTurn } from "../../src/flow/flush_scheduler.ts";
import { until } from "../support/until.ts";

for (const count of [5, 32, 33, 250]) {
  Deno.test(`fault 19: a flush that throws doesn't stop the others of ${count} in a turn`, async () => {
    const thrown: unknown[] = [], flushed: number[] = [];
    const keep = (event: ErrorEvent) => {
      event.preventDefault();
      thrown.push(event.error);
    };
    globalThis.addEventListener("error", keep);
    try {
      const error = new Error("a flush that fails");
      for (let i = 0; i < count; i++) {
        flushAfterTurn({
          flushScheduled() {
            flushed.push(i);
            if (i === 1) throw error;
          },
        });
      }
      await until(() => flushed.length === count);
      assertEquals(thrown, [error]);
      // The scheduler still works.
      flushAfterTurn({ flushScheduled: () => void flushed.push(-1) });
      await until(() => flushed.at(-1) === -1);
    } finally {
      globalThis.removeEventListener("error", keep);
    }
  });
}
