import { assertEquals } from "@std/assert";
import { ENDS } from "../support/echo_pair.ts";
import { runCase } from "../support/run_case.ts";
import { LARGE_CASES } from "./autobahn_cases.ts";

for (const ours of ENDS) {
  for (const { id, name, make } of LARGE_CASES) {
    const title = id === "sizes" ? "RFC 6455 5.2" : `Autobahn ${id}`;
    Deno.test(`${title} against a ${ours}: ${name}`, () => runCase(ours, make()));
  }
}

Deno.test("every case of sections 9 and 10 of the Autobahn suite exists once", () => {
  const counts = { "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6 };
  const ids = Object.entries(counts).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, at) => `${section}.${at + 1}`)
  );
  const got = LARGE_CASES.map(({ id }) => id).filter((id) => id !== "sizes");
  assertEquals(got.sort(), [...ids, "10.1.1"].sort());
});
