// What `console.log` and `Deno.inspect` call, and what Node's `util.inspect` does.
const HOOKS = [Symbol.for("Deno.customInspect"), Symbol.for("nodejs.util.inspect.custom")];

/**
 * Makes objects print as a text of their own, in `console.log`, `Deno.inspect` and Node's `util.inspect`. Not by methods
 * that are declared, since they are nothing that a caller should see.
 *
 * @param prototype What the objects have in common.
 * @param describe Says what is to be read of an object; must not throw.
 */
export function inspectable<T extends object>(prototype: T, describe: (object: T) => string): void {
  for (const hook of HOOKS) {
    Object.defineProperty(prototype, hook, {
      value(this: T): string {
        // The prototype itself has nothing to show.
        return this === prototype ? "[Prototype]" : describe(this);
      },
    });
  }
}
