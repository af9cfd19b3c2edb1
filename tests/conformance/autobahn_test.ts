import { assertEquals } from "@std/assert";
import { ENDS } from "../support/echo_pair.ts";
import { runCase } from "../support/run_case.ts";
import { CASES } from "./autobahn_cases.ts";

for (const ours of ENDS) {
  for (const test of CASES) {
    Deno.test(`Autobahn ${test.id} against a ${ours}: ${test.name}`, () => runCase(ours, test));
  }
}

Deno.test("every case of sections 1 to 7 of the Autobahn suite exists once", () => {
  const counts: Record<string, number> = {
    ...{ "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20, "6.1": 3, "6.2": 4 },
    ...{ "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4, "6.10": 3 },
    ...{ "6.11": 5, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5 },
    ...{ "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8, "6.22": 34, "6.23": 7, "7.1": 6, "7.3": 6 },
    ...{ "7.5": 1, "7.7": 13, "7.9": 13, "7.13": 2 },
  };
  const ids = Object.entries(counts).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, at) => `${section}.${at + 1}`)
  );
  assertEquals(CASES.map(({ id }) => id).sort(), ids.sort());
});
