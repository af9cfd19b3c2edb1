import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { exponentOf, median } from "../../bench/lib/growth.ts";

const SIZES = [1000, 2000, 4000, 8000, 16_000];

Deno.test("the measured exponent of a power function doesn't depend on its factor", () => {
  for (const exponent of [0, 0.5, 1, 1.15, 2]) {
    const points = SIZES.map((size) => [size, 3e-6 * size ** exponent] as const);
    assertAlmostEquals(exponentOf(points), exponent, 1e-9);
  }
});

Deno.test("constant and linear parts don't hide quadratic growth", () => {
  // A queue that is shifted from the front: cheap while it is short.
  const points = SIZES.map((size) => [size, 1 + 1e-3 * size + 1e-6 * size * size] as const);
  assert(exponentOf(points) > 1.15, String(exponentOf(points)));
  const linear = SIZES.map((size) => [size, 1 + 1e-3 * size] as const);
  assert(exponentOf(linear) < 1, String(exponentOf(linear)));
});

Deno.test("one slow run doesn't change the median", () => {
  assertEquals([median([1]), median([3, 1, 1000]), median([4, 2])], [1, 3, 3]);
});
