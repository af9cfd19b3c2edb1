/**
 * Feeds the parsers of untrusted input with random input, from the saved corpus first.
 *
 *     deno task fuzz [--seconds N | --cases N] [--seed S] [--target NAME] [--case N | --input HEX]
 *
 * Ends with 1 at the first finding, and prints it, made smaller where the target can, with the command that repeats it.
 * A finding belongs into the corpus, `fuzz/corpus/TARGET.json`, a list of `[note, hex]`.
 *
 * @module
 */
import { hex, toHex } from "../tests/support/bytes.ts";
import { connection } from "./connection.ts";
import { differential } from "./differential.ts";
import { extensions } from "./extensions.ts";
import { frames } from "./frames.ts";
import { head } from "./head.ts";
import { http } from "./http.ts";
import { inflater } from "./inflater.ts";
import { model } from "./model.ts";
import { Random } from "./random.ts";
import { receiving } from "./receiving.ts";
import type { Target } from "./target.ts";
import { readOptions } from "../tools/options.ts";

/** All targets. */
export const TARGETS: Target[] = [
  head,
  frames,
  differential,
  extensions,
  inflater,
  connection,
  receiving,
  http,
  model,
];

// A case that takes longer than this is a finding: nothing here has a reason to wait.
const PATIENCE = 20_000;

const SLICE = 100;

/** Judges one input; throws also if it hangs. */
export async function judge(target: Target, input: Uint8Array, seed: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still busy after ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    await Promise.race([target.judge(input, new Random(seed)), hung]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the saved inputs of a target. */
export function corpusOf(target: Target): [string, Uint8Array][] {
  const url = new URL(`./corpus/${target.name}.json`, import.meta.url);
  const entries: [string, string][] = JSON.parse(Deno.readTextFileSync(url));
  return entries.map(([note, digits]) => [note, hex(digits)]);
}

/** Makes the input of a case. */
export function inputOf(target: Target, seed: number): Uint8Array {
  return target.make(new Random(seed));
}

async function main(): Promise<number> {
  const { values } = readOptions({
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    target: { type: "string", default: "" },
    case: { type: "string" },
    cases: { type: "string", default: "Infinity" },
    input: { type: "string" },
  });
  const targets = TARGETS.filter(({ name }) => values.target === "" || name === values.target);
  const cases = Number(values.cases);
  const end = cases < Infinity ? Infinity : performance.now() + Number(values.seconds) * 1000;
  const counts = new Map(targets.map((target) => [target.name, 0]));
  const attempt = async (target: Target, seed: number, input: Uint8Array, what: string) => {
    try {
      await judge(target, input, seed);
      counts.set(target.name, counts.get(target.name)! + 1);
      return true;
    } catch (error) {
      console.log(
        `FINDING in ${target.name}, ${what}:\n${error instanceof Error ? error.stack : error}`,
      );
      if (target.shrink !== undefined) input = await target.shrink(input);
      if (target.describe !== undefined) console.log(await target.describe(input));
      const again = target.shrink === undefined ? `--case ${seed}` : `--input ${toHex(input)}`;
      console.log(`input: ${toHex(input)}`);
      console.log(`again: deno task fuzz --target ${target.name} ${again}`);
      return false;
    }
  };
  // An uncaught error is a finding as well.
  let current = "";
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    console.log(`FINDING: uncaught, about ${current}:`, event.reason);
    Deno.exit(1);
  });
  if (values.case !== undefined) {
    const seed = Number(values.case);
    for (const target of targets) {
      if (!await attempt(target, seed, inputOf(target, seed), `case ${seed}`)) return 1;
    }
    return 0;
  }
  if (values.input !== undefined) {
    for (const target of targets) {
      if (!await attempt(target, 1, hex(values.input), "the input given")) return 1;
    }
    return 0;
  }
  for (const target of targets) {
    for (const [note, input] of corpusOf(target)) {
      for (let seed = 0; seed < 5; seed++) {
        if (!await attempt(target, seed, input, `the corpus's "${note}"`)) return 1;
      }
    }
  }
  // Each target gets the same time and not the same number of cases: whole connections take a thousand times as long.
  const first = Number(values.seed) * 10_000_000;
  const next = new Map(targets.map((target) => [target, first]));
  const more = (n: number) => n - first < cases;
  while (performance.now() < end && [...next.values()].some(more)) {
    for (const target of targets) {
      const until = performance.now() + SLICE;
      let n = next.get(target)!;
      while (more(n)) {
        current = `${target.name} ${n}`;
        if (!await attempt(target, n, inputOf(target, n), `case ${n}`)) return 1;
        n++;
        if (performance.now() >= until) break;
      }
      next.set(target, n);
    }
  }
  const done = [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
  const bound = cases < Infinity ? "" : ` ${values.seconds} s,`;
  console.log(`no findings: seed ${values.seed},${bound} cases: ${done}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main());
