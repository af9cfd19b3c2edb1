import { parseArgs } from "node:util";
import { UsageError } from "./usage.ts";

/** The options of a command. */
export interface Spec {
  /** Options with a value. */
  values?: readonly string[];
  /** Options with a value that may be repeated. */
  lists?: readonly string[];
  /** Options without a value. */
  flags?: readonly string[];
}

const SHORT: Record<string, string> = {
  binary: "b",
  connections: "c",
  depth: "d",
  header: "H",
  help: "h",
  message: "m",
  null: "0",
  one: "1",
  quiet: "q",
  rate: "r",
  subprotocol: "s",
  verbose: "v",
};

/** The arguments of a command. Values are checked when they are read. */
export class Args {
  /** Arguments that aren't options. */
  readonly positional: readonly string[];
  readonly #values = new Map<string, string[]>();
  readonly #flags = new Set<string>();

  /**
   * Parses arguments.
   *
   * @param args The arguments after the command.
   * @param spec The options of the command.
   * @throws {UsageError} If an option is unknown, repeated, without its value, or with a value that it doesn't take.
   */
  constructor(args: readonly string[], { values = [], lists = [], flags = [] }: Spec) {
    const types = [
      ...[...values, ...lists].map((name) => [name, "string"] as const),
      ...[...flags, "help"].map((name) => [name, "boolean"] as const),
    ];
    const options = Object.fromEntries(types.map(([name, type]) => {
      const short = SHORT[name];
      return [name, short === undefined ? { type } : { type, short }];
    }));
    // Not strict, since its errors take three lines; the tokens are enough for short ones.
    const { tokens } = parseArgs({
      args: [...args],
      options,
      strict: false,
      allowPositionals: true,
      tokens: true,
    });
    const positional: string[] = [];
    for (const token of tokens) {
      if (token.kind === "positional") positional.push(token.value);
      if (token.kind !== "option") continue;
      const { name, rawName, value, inlineValue } = token;
      if (!Object.hasOwn(options, name)) throw new UsageError(`Unknown option ${rawName}`);
      if (options[name].type === "boolean") {
        if (value !== undefined) throw new UsageError(`Option --${name} takes no value`);
        this.#flags.add(name);
        continue;
      }
      // A value that looks like an option must be joined by "=".
      if (!value || (!inlineValue && /^-./.test(value))) {
        throw new UsageError(`Option --${name} needs a value`);
      }
      const given = this.#values.get(name);
      if (given === undefined) this.#values.set(name, [value]);
      else if (lists.includes(name)) given.push(value);
      else throw new UsageError(`Option --${name} was given twice`);
    }
    this.positional = positional;
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#flags.has(name);
  }

  /** The value of an option. */
  value(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** The values of an option that may be repeated. */
  list(name: string): string[] {
    return [...this.#values.get(name) ?? []];
  }

  /**
   * The value of an option as a number.
   *
   * @throws {UsageError} If it is less than `least`, or if `whole` is set and it isn't an integer.
   */
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

  /** Checks the number of arguments that aren't options. */
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

/** Reads `PORT` or `HOST:PORT`. */
export function parseListen(text: string): { hostname?: string; port: number } {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]*)):)?(\d+)$/.exec(text);
  if (match === null) throw new UsageError(`Cannot listen on ${text}: use PORT or HOST:PORT`);
  return { hostname: match[1] || match[2] || undefined, port: parsePort(match[3]) };
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port <= 65535)) throw new UsageError(`The port must be 0 to 65535: received ${text}`);
  return port;
}
