import { assertEquals } from "@std/assert";
import { model } from "../../fuzz/model.ts";
import { corpusOf } from "../../fuzz/main.ts";
import { Random } from "../../fuzz/random.ts";
import { toHex } from "../support/bytes.ts";
import { judgePlan } from "./judge.ts";
import { describePlan, HEAD, readPlan } from "./plan.ts";
import { shrink } from "./shrink.ts";

// CI runs twenty thousand plans with other seeds: `deno task fuzz --target model --cases 20000`.
const SEEDS = 1500;

/** Fails with a plan that is as small as possible, with its events, and with the command that repeats it. */
async function check(input: Uint8Array, what: string): Promise<void> {
  try {
    await model.judge(input, new Random(1));
  } catch (error) {
    const small = await model.shrink!(input);
    throw new Error(
      `${what}: ${(error as Error).message}\n${await model.describe!(small)}\n` +
        `again: deno task fuzz --target model --input ${toHex(small)}`,
    );
  }
}

Deno.test("model: plans with earlier findings keep the contract", async () => {
  for (const [note, input] of corpusOf(model)) await check(input, note);
});

Deno.test(`model: ${SEEDS} random sequences of calls and of the peer's actions keep the contract`, async () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    await check(model.make(new Random(seed)), `case ${seed}`);
  }
});

/** The events of a plan, without the payloads of the library's pings, which are random. */
async function logOf(plan: Uint8Array): Promise<string[]> {
  const { log } = await judgePlan(plan);
  return log.map((line) => line.replace(/^onPong .*/, "onPong"));
}

Deno.test("model: a plan has the same events each time", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const plan = model.make(new Random(seed));
    assertEquals(await logOf(plan), await logOf(plan));
  }
});

Deno.test("model: a plan is shrunk to the relevant steps", async () => {
  const plan = model.make(new Random(3));
  const count = (bytes: Uint8Array) =>
    readPlan(bytes).steps.filter(({ op }) => op === "message").length;
  const padded = Uint8Array.from([...plan, ...plan.subarray(HEAD), ...plan.subarray(HEAD)]);
  const wanted = Math.min(2, count(padded));
  const small = await shrink(padded, (bytes) => Promise.resolve(count(bytes) >= wanted));
  assertEquals(readPlan(small).steps.length, wanted, describePlan(small));
});
