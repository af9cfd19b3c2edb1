import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "./usage.ts";

/** Which options a command has. */
export interface Spec {
  /** With a value. */
  values?: readonly string[];
  /** With a value, and possibly more than once. */
  lists?: readonly string[];
  /** Without one. */
  flags?: readonly string[];
}

const SHORT: Record<string, string> = {
  H: "header",
  b: "binary",
  c: "connections",
  d: "depth",
  h: "help",
  q: "quiet",
  s: "subprotocol",
  v: "verbose",
};

/** The arguments of a command, checked as they are asked for. */
export class Args {
  /** What isn't an option. */
  readonly positional: readonly string[];
  readonly #parsed: Record<string, unknown>;

  /**
   * Parses.
   *
   * @param args The arguments behind the command.
   * @param spec The command's options.
   * @throws {UsageError} If an option is unknown, or has no value.
   */
  constructor(args: readonly string[], spec: Spec) {
    const { values = [], lists = [], flags = [] } = spec;
    const known = new Set([...values, ...lists, ...flags, "help"]);
    const alias = Object.fromEntries(
      Object.entries(SHORT).filter(([, long]) => known.has(long)),
    );
    const parsed = parseArgs([...args], {
      string: [...values, ...lists, "_"],
      collect: [...lists],
      boolean: [...flags, "help"],
      alias,
      unknown(arg: string, key?: string) {
        if (key !== undefined) throw new UsageError(`Unknown option ${arg}`);
      },
    }) as Record<string, unknown> & { _: unknown[] };
    this.#parsed = parsed;
    this.positional = parsed._.map(String);
    for (const name of values) {
      const value = parsed[name];
      if (Array.isArray(value)) throw new UsageError(`Option --${name} was given twice`);
      if (value === "") throw new UsageError(`Option --${name} needs a value`);
    }
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#parsed[name] === true;
  }

  /** The value of an option. */
  value(name: string): string | undefined {
    return this.#parsed[name] as string | undefined;
  }

  /** The values of an option that may be repeated. */
  list(name: string): string[] {
    const list = (this.#parsed[name] ?? []) as string[];
    if (list.includes("")) throw new UsageError(`Option --${name} needs a value`);
    return list;
  }

  /** A number that isn't negative; where `whole`, a whole one of at least `least`. */
  number(
    name: string,
    fallback: number,
    options: { whole?: boolean; least?: number } = {},
  ): number {
    const text = this.value(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    const { whole = false, least = 0 } = options;
    if (text.trim() === "" || !(value >= least) || !Number.isFinite(value)) {
      throw new UsageError(
        `Option --${name} must be a number of at least ${least}: received ${text}`,
      );
    }
    if (whole && !Number.isInteger(value)) {
      throw new UsageError(`Option --${name} must be a whole number: received ${text}`);
    }
    return value;
  }

  /** Checks that there are just so many arguments that aren't options. */
  expect(...names: string[]): void {
    const { positional } = this;
    if (positional.length < names.length) {
      throw new UsageError(`Missing argument ${names[positional.length]}`);
    }
    if (positional.length > names.length) {
      throw new UsageError(`Unexpected argument ${positional[names.length]}`);
    }
  }
}

/** Reads a port. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port <= 65535)) throw new UsageError(`The port must be 0 to 65535: received ${text}`);
  return port;
}
