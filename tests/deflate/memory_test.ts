import { assert, assertEquals, assertLess } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { isSupported } from "../../src/deflate/raw_zlib.ts";
import { inflater, json, TAKEOVER } from "./helpers.ts";

const MiB = 1 << 20;

// deno-lint-ignore no-explicit-any
async function probe(name: string): Promise<any> {
  const script = new URL("./memory_probe.ts", import.meta.url).href;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-net", script, name],
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (text === "") throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(text);
}

Deno.test("This runtime has what compression needs", () => {
  assert(isSupported());
});

Deno.test("A bomb of 10 MiB in 10 KiB against a limit of 1 MiB: 1009, and less than 8 MiB of memory", async () => {
  const { length, codes, messages, grown } = await probe("bomb");
  assertLess(length, 11 << 10);
  assertEquals(codes, [1009, 1009]);
  assertEquals(messages, 1);
  assertLess(grown, 8 * MiB);
});

Deno.test("Bombs at many inflaters at once cost no more than the inflaters", async () => {
  const { codes, grown } = await probe("bombs");
  assertEquals(codes, [1009]);
  assertLess(grown, 16 * MiB);
});

Deno.test("Codecs that have done nothing own nothing", async () => {
  const { grown } = await probe("unused");
  assertLess(grown, 8 * MiB);
});

Deno.test("Closing gives the memory back", async () => {
  const { once, grown } = await probe("closed");
  assert(once > 20 * MiB, `200 pairs took ${once} bytes: that is too few to tell`);
  // Eight times as much has been in use in turn: half of that leaves room for what an allocator keeps.
  assertLess(grown, once * 4);
});

Deno.test("Without takeover, connections between messages own nothing", async () => {
  const { grown } = await probe("forgetful");
  assertLess(grown, 8 * MiB);
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
