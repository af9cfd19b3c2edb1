// Runs the micro benchmarks and prints each one's time next to the baseline's. Times depend on the machine, so this
// reports and never fails.
//
//   deno task bench:micro            compares
//   deno task bench:micro --save     makes what was measured the baseline

import { readOptions } from "../../tools/options.ts";

const { values } = readOptions({ save: { type: "boolean" } });
const BASELINE = new URL("./baseline.json", import.meta.url);
const HERE = new URL(".", import.meta.url);

interface Baseline {
  /** The machine that it was measured on. */
  machine: string;
  /** Average ns per benchmark. */
  ns: Record<string, number>;
}

const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
  args: ["bench", "-A", "--json", HERE.pathname],
  env: { NO_COLOR: "1" },
}).output();
if (!success) throw new Error(new TextDecoder().decode(stderr));
const { benches, cpu, runtime } = JSON.parse(new TextDecoder().decode(stdout));
const ns: Record<string, number> = {};
for (const { name, results: [{ ok }] } of benches) {
  if (ok) ns[name] = Math.round(ok.avg);
}
const machine = `${cpu.trim()}, ${runtime.split(" ")[0]}`;

if (values.save) {
  await Deno.writeTextFile(BASELINE, `${JSON.stringify({ machine, ns }, null, 2)}\n`);
  console.log(`Saved ${Object.keys(ns).length} benchmarks as the baseline`);
} else {
  const baseline: Baseline = JSON.parse(await Deno.readTextFile(BASELINE));
  const width = Math.max(...Object.keys(ns).map((name) => name.length));
  for (const [name, now] of Object.entries(ns)) {
    const before = baseline.ns[name];
    const ratio = before === undefined ? "no baseline" : `${(now / before).toFixed(2)} ×`;
    console.log(`${name.padEnd(width)} ${String(now).padStart(9)} ns  ${ratio}`);
  }
  for (const name of Object.keys(baseline.ns).filter((name) => ns[name] === undefined)) {
    console.log(`${name}: in the baseline, but not measured`);
  }
  console.log(`\nNow:      ${machine}\nBaseline: ${baseline.machine}`);
}
