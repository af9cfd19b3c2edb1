import { judgePlan } from "../tests/model/judge.ts";
import { describePlan, HEAD, STEP } from "../tests/model/plan.ts";
import { kindOf, shrink } from "../tests/model/shrink.ts";
import type { Random } from "./random.ts";
import { finding, type Target } from "./target.ts";

// Public calls and acts of a peer, in any order, checked against the contract: see tests/model/.

/** A plan of a few steps, or of many. */
function makePlan(random: Random): Uint8Array {
  const steps = random.pick([3, 6, 12, 24, 40]);
  return random.bytes(HEAD + STEP * (1 + random.below(steps)));
}

export const model: Target = {
  name: "model",
  make: makePlan,
  async judge(input) {
    const { findings } = await judgePlan(input);
    if (findings.length > 0) finding(findings.join("\n"));
  },
  async shrink(input) {
    const { findings: [first] } = await judgePlan(input);
    if (first === undefined) return input;
    const kind = kindOf(first);
    return await shrink(input, async (plan) => {
      const { findings: [finding] } = await judgePlan(plan);
      return finding !== undefined && kindOf(finding) === kind;
    });
  },
  async describe(input) {
    const { log } = await judgePlan(input);
    return `${describePlan(input)}\n${log.join("\n")}`;
  },
};
