import { assertEquals, assertRejects } from "@std/assert";
import { corpusOf, inputOf, judge, TARGETS } from "../../fuzz/main.ts";

for (const target of TARGETS) {
  Deno.test(`fuzz: ${target.name} passes with the corpus and a few cases`, async () => {
    for (const [, input] of corpusOf(target)) await judge(target, input, 1);
    for (let seed = 0; seed < 20; seed++) await judge(target, inputOf(target, seed), seed);
  });
}

Deno.test("fuzz: the same seed makes the same input", () => {
  for (const target of TARGETS) assertEquals(inputOf(target, 5), inputOf(target, 5));
});

Deno.test("fuzz: a target with a finding fails", async () => {
  const target = {
    name: "x",
    make: () => new Uint8Array(1),
    judge: () => {
      throw new Error("found");
    },
  };
  await assertRejects(() => judge(target, inputOf(target, 1), 1), Error, "found");
});
