import { HEAD, STEP } from "./plan.ts";

/**
 * Makes a plan as small as possible while a finding remains: removes steps, and then sets bytes to 0.
 *
 * @param fails Whether a plan still has the finding.
 */
export async function shrink(
  bytes: Uint8Array,
  fails: (plan: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let plan = bytes;
  const attempt = async (smaller: Uint8Array) => {
    if (!await fails(smaller)) return false;
    plan = smaller;
    return true;
  };
  for (let before = -1; before !== plan.length;) {
    before = plan.length;
    for (let steps = Math.ceil(stepsOf(plan) / 2); steps >= 1; steps = Math.floor(steps / 2)) {
      for (let at = 0; at < stepsOf(plan);) {
        const from = HEAD + at * STEP;
        const rest = [...plan.subarray(0, from), ...plan.subarray(from + steps * STEP)];
        if (!await attempt(Uint8Array.from(rest))) at += steps;
      }
    }
  }
  for (let at = 0; at < plan.length; at++) {
    // The first byte of a step is its kind.
    if (plan[at] === 0 || (at >= HEAD && (at - HEAD) % STEP === 0)) continue;
    const plain = plan.slice();
    plain[at] = 0;
    if (await attempt(plain)) continue;
    for (let bit = 7; bit >= 0; bit--) {
      const fewer = plan.slice();
      fewer[at] &= ~(1 << bit);
      if (fewer[at] !== plan[at]) await attempt(fewer);
    }
  }
  return plan;
}

function stepsOf(plan: Uint8Array): number {
  return Math.max(0, Math.floor((plan.length - HEAD) / STEP));
}

/** A finding without its numbers, for comparing the kinds of two findings. */
export function kindOf(finding: string): string {
  return finding.replace(/"[^"]*"/g, '""').replace(/[0-9a-f]{5,}/g, "H").replace(/\d+/g, "N")
    .slice(0, 80);
}
