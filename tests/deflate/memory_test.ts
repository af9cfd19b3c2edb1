import { assert, assertEquals, assertLess } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { isSupported } from "../../src/deflate/raw_zlib.ts";
import { inflater, json, TAKEOVER } from "./helpers.ts";

const MiB = 1 << 20;
const COUNT = 200;

function grown(work: () => void): number {
  const before = Deno.memoryUsage().rss;
  work();
  return Deno.memoryUsage().rss - before;
}

Deno.test("This runtime has what compression needs", () => {
  assert(isSupported());
});

Deno.test("Codecs that have done nothing own nothing", () => {
  const codecs: { close(): void }[] = [];
  const bytes = grown(() => {
    for (let i = 0; i < COUNT * 10; i++) {
      codecs.push(new Deflater(TAKEOVER), inflater().inflater);
    }
  });
  assertLess(bytes, 8 * MiB);
  for (const codec of codecs) codec.close();
});

Deno.test("Closing gives the memory back", () => {
  const message = json(2000);
  let most = 0;
  const before = Deno.memoryUsage().rss;
  for (let round = 0; round < 8; round++) {
    const codecs: { close(): void }[] = [];
    for (let i = 0; i < COUNT; i++) {
      const deflater = new Deflater(TAKEOVER), { inflater: codec } = inflater();
      const packed = deflater.deflate(message, true);
      assert(codec.push(packed, 0, packed.length, true, () => {}));
      codecs.push(deflater, codec);
    }
    if (round === 0) most = Deno.memoryUsage().rss - before;
    for (const codec of codecs) codec.close();
  }
  // Eight times as much has been in use in turn.
  assert(most > COUNT * 100 * 1024, `200 pairs took ${most} bytes: that is too few to tell`);
  assertLess(Deno.memoryUsage().rss - before, most * 2);
});

Deno.test("Without takeover, connections between messages own nothing", () => {
  const message = json(2000);
  const codecs: { close(): void }[] = [];
  const settings = { ...TAKEOVER, takeover: false };
  const bytes = grown(() => {
    for (let i = 0; i < COUNT; i++) {
      const deflater = new Deflater(settings), { inflater: codec } = inflater({ takeover: false });
      const packed = deflater.deflate(message, true);
      assert(codec.push(packed, 0, packed.length, true, () => {}));
      codecs.push(deflater, codec);
    }
  });
  assertLess(bytes, 16 * MiB);
  for (const codec of codecs) codec.close();
});

Deno.test("A closed codec stays closed, however often it is told", () => {
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
