import { assertEquals } from "@std/assert";
import { createRequire } from "node:module";

/** Asserts that an npm package that imports `ws` gets the stand-in. */
export function assertOurs(name: string): void {
  const require = createRequire(import.meta.resolve(name));
  assertEquals(require.resolve("ws").endsWith("/ws.mjs"), true, `${name} has another ws`);
}

/** Resolves with the first value of a subscription. */
export function called<T>(subscribe: (callback: (value: T) => void) => unknown): Promise<T> {
  return new Promise((resolve) => void subscribe(resolve));
}
