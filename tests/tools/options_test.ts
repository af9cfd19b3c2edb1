import { assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";

const SCRIPT = new URL("../../tools/coverage.ts", import.meta.url).pathname;
const USAGE = "Usage: deno run -A tools/coverage.ts DIR\n";

Deno.test("a script prints its usage for --help, and for a mistake what is wrong as well", async () => {
  for (
    const [args, code, stdout, stderr] of [
      [["--help"], 0, USAGE, ""],
      [[], 2, "", `Missing argument DIR\n${USAGE}`],
      [["a", "b"], 2, "", `Unexpected argument b\n${USAGE}`],
      [["--no-such", "a"], 2, "", `Unknown option '--no-such'\n${USAGE}`],
    ] as [string[], number, string, string][]
  ) {
    const result = await deno(["run", "--allow-read", "--no-check", SCRIPT, ...args]);
    assertEquals([result.code, result.stdout, result.stderr], [code, stdout, stderr]);
  }
});
