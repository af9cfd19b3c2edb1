import { BadHeadError } from "./bad_head_error.ts";
import { equalsIgnoreCase, FIELD_CHAR, TOKEN_CHAR } from "./chars.ts";
import { show } from "../util/show.ts";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const COLON = 0x3a;

/** How many fields a head may have, unless a server says otherwise: a browser sends some twenty. */
export const MAX_FIELDS = 128;

/**
 * How many fields a server may allow. The platform's `Headers` take quadratic time to be filled, and far more to be listed:
 * up to here what they take is nearly linear.
 */
export const MOST_FIELDS = 1024;

/**
 * The header fields of a message, in the order of their arrival. What is stored is where they are in the text of the
 * head, four numbers each; strings are cut out when they are asked for, which a handshake does for half of them.
 */
export class Fields implements Iterable<[name: string, value: string]> {
  readonly #text: string;
  readonly #index: readonly number[];

  /**
   * Makes fields of what {@linkcode parseFields} found.
   *
   * @param text The head.
   * @param index For each field: where its name begins and ends, and where its value begins and ends.
   */
  constructor(text: string, index: readonly number[]) {
    this.#text = text;
    this.#index = index;
  }

  /** The number of fields, those of the same name counted one by one. */
  get size(): number {
    return this.#index.length >> 2;
  }

  /**
   * The value of a field. Several of one name are combined with `", "`, which means the same for every field that is
   * defined as a list (RFC 9110 5.3). `Set-Cookie` isn't: iterate over the fields for that.
   *
   * @param name The name, in lower case.
   * @returns The value, or `null` if there is no such field.
   */
  get(name: string): string | null {
    let at = this.#find(name, 0);
    if (at === -1) return null;
    let value = this.#valueAt(at);
    while ((at = this.#find(name, at + 4)) !== -1) value += `, ${this.#valueAt(at)}`;
    return value;
  }

  /**
   * How often a field occurs.
   *
   * @param name The name, in lower case.
   * @returns The number of fields of that name.
   */
  count(name: string): number {
    let count = 0;
    for (let at = this.#find(name, 0); at !== -1; at = this.#find(name, at + 4)) count++;
    return count;
  }

  /**
   * Whether a field occurs.
   *
   * @param name The name, in lower case.
   * @returns Whether there is at least one.
   */
  has(name: string): boolean {
    return this.#find(name, 0) !== -1;
  }

  /**
   * The fields as the web platform has them; several `Set-Cookie` stay apart.
   *
   * @returns New headers, the caller's own.
   */
  toHeaders(): Headers {
    const headers = new Headers();
    for (const [name, value] of this) headers.append(name, value);
    return headers;
  }

  /** Names as they were spelt, and values, in order. */
  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    const index = this.#index;
    for (let at = 0; at < index.length; at += 4) {
      yield [
        this.#text.substring(index[at], index[at + 1]),
        this.#valueAt(at),
      ];
    }
  }

  /** Where the next field of a name is in the index, from `from` on; -1 if there is none. */
  #find(name: string, from: number): number {
    const index = this.#index;
    const length = name.length;
    for (let at = from; at < index.length; at += 4) {
      // Lengths alone tell most names apart, without a call.
      if (index[at + 1] - index[at] !== length) continue;
      if (equalsIgnoreCase(this.#text, index[at], index[at + 1], name)) return at;
    }
    return -1;
  }

  #valueAt(at: number): string {
    return this.#text.substring(this.#index[at + 2], this.#index[at + 3]);
  }
}

/**
 * Reads the field lines of a head (RFC 9112 5), strictly: a name is a token, nothing is between it and the colon
 * (5.1: such a message must be refused, since parsers disagree about it), lines end in CR LF, and there are no folds
 * (5.2).
 *
 * @param text The head.
 * @param at Where the first field line begins.
 * @param maxFields How many fields there may be.
 * @returns The fields.
 * @throws {BadHeadError} With status 400, if a line isn't a field, or if the head doesn't end with `text`; with 431
 * if there are too many.
 */
export function parseFields(text: string, at: number, maxFields: number): Fields {
  const index: number[] = [];
  while (true) {
    const nameStart = at;
    let code = text.charCodeAt(at);
    while (TOKEN_CHAR[code] === 1) code = text.charCodeAt(++at);
    const nameEnd = at;
    if (nameEnd === nameStart) {
      if (code === CR && text.charCodeAt(at + 1) === LF && at + 2 === text.length) break;
      throw badLine(text, nameStart);
    }
    if (code !== COLON) throw badLine(text, nameStart);
    do code = text.charCodeAt(++at); while (code === SP || code === HTAB);
    const valueStart = at;
    while (FIELD_CHAR[code] === 1) code = text.charCodeAt(++at);
    if (code !== CR || text.charCodeAt(at + 1) !== LF) throw badLine(text, nameStart);
    let valueEnd = at;
    while (valueEnd > valueStart) {
      const last = text.charCodeAt(valueEnd - 1);
      if (last !== SP && last !== HTAB) break;
      valueEnd--;
    }
    if (index.length >= 4 * maxFields) {
      throw new BadHeadError(431, `The head has more than ${maxFields} fields`);
    }
    index.push(nameStart, nameEnd, valueStart, valueEnd);
    at += 2;
  }
  return new Fields(text, index);
}

function badLine(text: string, start: number): BadHeadError {
  const end = text.indexOf("\r\n", start);
  const line = text.substring(start, end === -1 ? text.length : end);
  return new BadHeadError(400, `The head has a line that is not a header field: ${show(line)}`);
}
