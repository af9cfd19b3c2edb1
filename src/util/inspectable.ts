// The methods that `console.log` and `Deno.inspect` call, and Node's `util.inspect`.
const HOOKS = [Symbol.for("Deno.customInspect"), Symbol.for("nodejs.util.inspect.custom")];

/**
 * Sets the text that `console.log`, `Deno.inspect` and Node's `util.inspect` print for objects. The methods aren't
 * declared in the classes, so that they don't appear in the documentation.
 *
 * @param prototype The prototype of the objects.
 * @param describe Returns the text for an object; must not throw.
 */
export function inspectable<T extends object>(prototype: T, describe: (object: T) => string): void {
  for (const hook of HOOKS) {
    Object.defineProperty(prototype, hook, {
      value(this: T): string {
        // The prototype itself has no fields to describe.
        return this === prototype ? "[Prototype]" : describe(this);
      },
    });
  }
}
