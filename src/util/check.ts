/** Throws unless every callback is a function. */
export function checkHandlers(action: string, handlers: object, names: readonly string[]): void {
  for (const name of names) {
    const value = (handlers as Record<string, unknown>)[name];
    if (value !== undefined && typeof value !== "function") {
      throw new TypeError(
        `Cannot ${action} with ${name} that is not a function: received ${typeof value}`,
      );
    }
  }
}

/** A whole number that isn't negative, such as bytes or milliseconds. */
export function amount(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") {
    throw new TypeError(
      `Cannot ${action} with ${name} that is not a number: received ${typeof value}`,
    );
  }
  if (!(value >= 0)) throw new RangeError(`Cannot ${action} with ${name} ${value}`);
  return value;
}

/**
 * A time or a maximum, for which 0 means none.
 *
 * @returns `Infinity` for none.
 */
export function limit(action: string, name: string, value: unknown, fallback: number): number {
  return amount(action, name, value, fallback) || Infinity;
}

/** One of a few words; the first of them by default. */
export function choice<T extends string>(
  action: string,
  name: string,
  value: T | undefined,
  choices: readonly T[],
): T {
  if (value === undefined) return choices[0];
  if (!choices.includes(value)) {
    throw new TypeError(
      `Cannot ${action} with ${name} ${JSON.stringify(value)}: use ${choices.join(", ")}`,
    );
  }
  return value;
}
