import type { Random } from "./random.ts";

/** A target of the fuzzer: it makes inputs and judges how the code under test handles them. */
export interface Target {
  readonly name: string;
  /** Makes an input. */
  make(random: Random): Uint8Array;
  /** Throws where the code under test does something wrong; `random` decides how the input is cut, and so on. */
  judge(input: Uint8Array, random: Random): void | Promise<void>;
  /** Makes a smaller input that shows the same finding. */
  shrink?(input: Uint8Array): Promise<Uint8Array>;
  /** Describes an input and what happens with it. */
  describe?(input: Uint8Array): Promise<string>;
}

/** Throws a finding. */
export function finding(text: string): never {
  throw new Error(text);
}

/** Compares what JSON can show. */
export function same(a: unknown, b: unknown, what: string): void {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  if (left !== right) finding(`${what}\n  ${left.slice(0, 2000)}\n  ${right.slice(0, 2000)}`);
}

/** Latin-1 text as bytes, and back: one byte per character. */
export function toBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function toText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
