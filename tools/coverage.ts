// Prints what the tests have covered of src/, by folder, and fails below the thresholds of deno.json.
//
//   deno task test --coverage=DIR --coverage-raw-data-only && deno task coverage DIR

import { readOptions } from "./options.ts";

interface Share {
  found: number;
  hit: number;
}

interface Covered {
  lines: Share;
  branches: Share;
}

const [profile] = readOptions({}, ["DIR"]).positionals;
const root = new URL("../", import.meta.url).pathname;

/** Runs `deno coverage` and returns what it prints; it applies the thresholds of deno.json itself. */
async function coverage(...args: string[]): Promise<{ text: string; success: boolean }> {
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", profile, `--include=${root}src/`, ...args],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { text: decoder.decode(stdout) + (success ? "" : decoder.decode(stderr)), success };
}

/** Sums up the counts of an lcov report, by folder. */
function byFolder(report: string): Map<string, Covered> {
  const folders = new Map<string, Covered>();
  let covered: Covered | undefined;
  for (const line of report.split("\n")) {
    const [, key, value] = /^(\w+):(.*)$/.exec(line) ?? [];
    if (key === "SF") {
      const file = value.slice(value.indexOf("/src/") + 1);
      const folder = file.slice(0, file.lastIndexOf("/"));
      covered = folders.get(folder);
      if (covered === undefined) {
        covered = { lines: { found: 0, hit: 0 }, branches: { found: 0, hit: 0 } };
        folders.set(folder, covered);
      }
    } else if (key === "LF") covered!.lines.found += Number(value);
    else if (key === "LH") covered!.lines.hit += Number(value);
    else if (key === "BRF") covered!.branches.found += Number(value);
    else if (key === "BRH") covered!.branches.hit += Number(value);
  }
  return folders;
}

function percent({ found, hit }: Share): string {
  return (found === 0 ? 100 : hit / found * 100).toFixed(1).padStart(6);
}

const { text: report } = await coverage("--lcov");
const folders = [...byFolder(report)].sort(([a], [b]) => a < b ? -1 : 1);
console.log("lines %  branches %");
for (const [folder, { lines, branches }] of folders) {
  console.log(`${percent(lines)}  ${percent(branches)}      ${folder}`);
}
const { text, success } = await coverage();
console.log(text.split("\n").filter((line) => /All files|threshold/i.test(line)).join("\n"));
if (!success) Deno.exit(1);
