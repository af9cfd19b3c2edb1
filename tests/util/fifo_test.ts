import { assertEquals } from "@std/assert";
import { Fifo } from "../../src/util/fifo.ts";
import { seeded } from "../support/random.ts";

Deno.test("a FIFO behaves like an array in random sequences of calls", () => {
  const random = seeded(7);
  const fifo = new Fifo<number>(), array: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    const dice = random() * 100;
    if (dice < 55) {
      fifo.push(i);
      array.push(i);
    } else if (dice < 97) {
      assertEquals(fifo.peek(), array[0]);
      assertEquals(fifo.shift(), array.shift());
    } else if (dice < 99) {
      const item = array[Math.floor(random() * array.length)] ?? -1;
      const at = array.indexOf(item);
      if (at >= 0) array.splice(at, 1);
      assertEquals(fifo.remove(item), at >= 0);
    } else {
      assertEquals([...fifo], array);
      assertEquals(fifo.drain(), array.splice(0));
    }
    assertEquals(fifo.length, array.length);
  }
  fifo.clear();
  assertEquals([fifo.length, fifo.peek(), fifo.shift(), fifo.remove(1)], [
    0,
    undefined,
    undefined,
    false,
  ]);
});
