import { show } from "./show.ts";

// The checks of options. All of them read `undefined` as "not given", and throw a TypeError for a value of the wrong
// type, a RangeError for a number out of its range, with one style of message:
//
//   Cannot listen with maxQueueBytes "1 MiB" (a string): use a whole number, or 0 for no limit

/**
 * The error for a value that can't be used.
 *
 * @param attempt What was attempted, and the name of the value: `listen on port`.
 * @param value What was received.
 * @param allowed What may be used instead.
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

/** The error if a number was expected. */
export function numberRefusal(
  attempt: string,
  value: unknown,
  allowed: string,
): TypeError | RangeError {
  const Kind = typeof value === "number" ? RangeError : TypeError;
  return new Kind(messageOf(attempt, value, allowed));
}

/** Whether a value is a number of bytes or a count: whole and not negative, or without end. */
function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && (Number.isInteger(value) || value === Infinity);
}

/** A quantity of bytes or a count, of which 0 is none at all: a water mark, a threshold. */
export function amount(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (!isCount(value)) {
    throw numberRefusal(attemptOf(action, name), value, "a whole number from 0, or Infinity");
  }
  return value;
}

/**
 * The most of something, in bytes or as a count, for which 0 means that there is no limit.
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
 * A timeout or an interval in ms, for which 0 means that there is none.
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

/** A time in ms, of which 0 is none at all; `Infinity` for ever. */
export function duration(action: string, name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value >= 0)) {
    throw numberRefusal(attemptOf(action, name), value, "a number of milliseconds from 0");
  }
  return value;
}

/**
 * The most of something per second; `Infinity` if it isn't given. Less than one is refused: of a bucket that never
 * holds a whole one nothing could be taken, and whether 0 means "none at all" or "no limit" would be unclear.
 */
export function rate(action: string, name: string, value: unknown): number {
  return between(action, name, value, Infinity, 1, Infinity);
}

/** Any number within bounds. */
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

/** A whole number within bounds. */
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

/** One of a few words; the first of them by default. */
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

/** Yes or no. */
export function flag(action: string, name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw refusal(attemptOf(action, name), value, "true or false");
  return value;
}

/** A group of options; `undefined` if it isn't given. */
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

/** Throws unless every callback that is given is a function. */
export function checkHandlers(action: string, handlers: object, names: readonly string[]): void {
  for (const name of names) {
    const value = (handlers as Record<string, unknown>)[name];
    if (value !== undefined && typeof value !== "function") {
      throw refusal(attemptOf(action, name), value, "a function");
    }
  }
}

/** The signal among the options of a call. */
export function signalOf(
  action: string,
  options: { signal?: AbortSignal },
): AbortSignal | undefined {
  group(action, "options", options, "an object");
  checkSignal(action, options.signal);
  return options.signal;
}

/** Throws unless a signal that is given is one. */
export function checkSignal(action: string, signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw refusal(attemptOf(action, "signal"), signal, "an AbortSignal");
  }
}
