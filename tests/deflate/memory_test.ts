import { assert, assertEquals, assertLess } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { isSupported } from "../../src/deflate/raw_zlib.ts";
import { measure } from "../support/child.ts";
import { inflater, json, TAKEOVER } from "./helpers.ts";

const MiB = 1 << 20;

// deno-lint-ignore no-explicit-any
function probe(name: string): Promise<any> {
  return measure(new URL("./memory_probe.ts", import.meta.url), name);
}

Deno.test("the runtime supports compression", () => {
  assert(isSupported());
});

Deno.test("a bomb of 10 MiB in 10 KiB leads to 1009 with a limit of 1 MiB, and takes less than 8 MiB of memory", async () => {
  const { length, codes, messages, grown } = await probe("bomb");
  assertLess(length, 11 << 10);
  assertEquals(codes, [1009, 1009]);
  assertEquals(messages, 1);
  assertLess(grown, 8 * MiB);
});

Deno.test("bombs at many inflaters at once take no more memory than the inflaters", async () => {
  const { codes, grown } = await probe("bombs");
  assertEquals(codes, [1009]);
  assertLess(grown, 16 * MiB);
});

Deno.test("unused codecs own no memory", async () => {
  const { grown } = await probe("unused");
  assertLess(grown, 8 * MiB);
});

Deno.test("closing releases the memory", async () => {
  const { once, grown } = await probe("closed");
  assert(once > 20 * MiB, `200 pairs took ${once} bytes: that is too little for a comparison`);
  // Eight times as much memory was in use one after the other. Half of it is left for the allocator's reserve.
  assertLess(grown, once * 4);
});

Deno.test("without takeover, connections own no memory between messages", async () => {
  const { grown } = await probe("forgetful");
  assertLess(grown, 8 * MiB);
});

Deno.test("a codec may be closed repeatedly", () => {
  const deflater = new Deflater(TAKEOVER), { inflater: codec } = inflater();
  const packed = deflater.deflate(json(2000), true).slice();
  for (let i = 0; i < 2; i++) {
    deflater.close();
    codec.close();
  }
  for (const work of [() => deflater.deflate(packed, true), () => push()]) {
    let error: unknown;
    try {
      work();
    } catch (reason) {
      error = reason;
    }
    assertEquals((error as Error)?.message.includes("closed"), true);
  }
  function push() {
    codec.push(packed, 0, packed.length, true, () => {});
  }
});
