import { show } from "./show.ts";

// The checks of options. All of them read `undefined` as "not given", and throw a TypeError for a value of the wrong
// type, a RangeError for a number out of its range, with one style of message:
//
//   Cannot listen with maxQueueBytes "1 MiB" (a string): use a whole number, or 0 for no limit

/**
 * Makes the error for a value that isn't allowed.
 *
 * @param attempt The attempted action and the name of the value, such as `listen on port`.
 * @param value The value that was received.
 * @param allowed The allowed values.
 */
export function refusal(
  attempt: string,
  value: unknown,
  allowed: string,
  cause?: unknown,
): TypeError {
  return new TypeError(messageOf(attempt, value, allowed), { cause });
}

function messageOf(attempt: string, value: unknown, allowed: string): string {
  const shown = typeof value === "string" ? `${show(value)} (a string)` : show(value);
  return `Cannot ${attempt} ${shown}: use ${allowed}`;
}

/** `listen with backlog`, but `listen on port`. */
function attemptOf(action: string, name: string): string {
  return action.endsWith(" on") ? `${action} ${name}` : `${action} with ${name}`;
}

/** Makes the error for a value that isn't an allowed number: a `RangeError` if it is a number, else a `TypeError`. */
export function numberRefusal(
  attempt: string,
  value: unknown,
  allowed: string,
): TypeError | RangeError {
  const Kind = typeof value === "number" ? RangeError : TypeError;
  return new Kind(messageOf(attempt, value, allowed));
}

/** Whether a value is a number of bytes or a count: a whole number that isn't negative, or `Infinity`. */
function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && (Number.isInteger(value) || value === Infinity);
}

/** Checks a number of bytes or a count for which 0 means 0, such as a water mark or a threshold. */
export function amount(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (!isCount(value)) {
    throw numberRefusal(attemptOf(action, name), value, "a whole number from 0, or Infinity");
  }
  return value;
}

/**
 * Checks a limit, in bytes or as a count, for which 0 means no limit.
 *
 * @returns `Infinity` for no limit.
 */
export function limit(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (!isCount(value)) {
    throw numberRefusal(attemptOf(action, name), value, "a whole number, or 0 for no limit");
  }
  return value === 0 ? Infinity : value;
}

/**
 * Checks a timeout or an interval in ms, for which 0 means none.
 *
 * @returns `Infinity` for none.
 */
export function timeLimit(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value >= 0)) {
    throw numberRefusal(attemptOf(action, name), value, "a number of milliseconds, or 0 for none");
  }
  return value === 0 ? Infinity : value;
}

/** Checks a time in ms for which 0 means no time; `Infinity` is for ever. */
export function duration(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value >= 0)) {
    throw numberRefusal(attemptOf(action, name), value, "a number of milliseconds from 0");
  }
  return value;
}

/**
 * Checks a limit per second; `Infinity` if it isn't given. Less than one is refused: such a bucket would never have a
 * whole token, and it would be unclear whether 0 means nothing or no limit.
 */
export function rate(action: string, name: string, value: unknown): number {
  return between(action, name, value, Infinity, 1, Infinity);
}

/** Checks a number within bounds. */
export function between(
  action: string,
  name: string,
  value: unknown,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw numberRefusal(attemptOf(action, name), value, `a number from ${least} to ${most}`);
  }
  return value;
}

/** Checks a whole number within bounds. */
export function integer(
  action: string,
  name: string,
  value: unknown,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw numberRefusal(
      attemptOf(action, name),
      value,
      `a whole number from ${least} to ${most}`,
    );
  }
  return value as number;
}

/** Checks a string that must be one of `choices`; the first is the default. */
export function choice<T extends string>(
  action: string,
  name: string,
  value: T | undefined,
  choices: readonly T[],
): T {
  if (value === undefined) return choices[0];
  if (!choices.includes(value)) {
    const words = choices.map((choice) => `"${choice}"`).join(", ");
    throw refusal(attemptOf(action, name), value, words.replace(/, (?=[^,]*$)/, " or "));
  }
  return value;
}

/** Checks a boolean. */
export function flag(action: string, name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw refusal(attemptOf(action, name), value, "true or false");
  return value;
}

/** Checks an object with options; `undefined` if it isn't given. */
export function group<T extends object>(
  action: string,
  name: string,
  value: T | undefined,
  allowed: string,
): T | undefined {
  if (
    value !== undefined && (typeof value !== "object" || value === null || Array.isArray(value))
  ) {
    throw refusal(attemptOf(action, name), value, allowed);
  }
  return value;
}

/** Throws if one of the named callbacks is given and isn't a function. */
export function checkHandlers(action: string, handlers: object, names: readonly string[]): void {
  for (const name of names) {
    const value = (handlers as Record<string, unknown>)[name];
    if (value !== undefined && typeof value !== "function") {
      throw refusal(attemptOf(action, name), value, "a function");
    }
  }
}

/** Checks and returns the signal in the options of a call. */
export function signalOf(
  action: string,
  options: { signal?: AbortSignal },
): AbortSignal | undefined {
  group(action, "options", options, "an object");
  checkSignal(action, options.signal);
  return options.signal;
}

/** Throws if a signal is given and isn't an `AbortSignal`. */
export function checkSignal(action: string, signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw refusal(attemptOf(action, "signal"), signal, "an AbortSignal");
  }
}
