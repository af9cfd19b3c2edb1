import { BadHeadError } from "./bad_head_error.ts";
import { equalsIgnoreCase, FIELD_CHAR, TOKEN_CHAR } from "./chars.ts";
import { show } from "../util/show.ts";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const COLON = 0x3a;

/** The default limit of fields in a head: a browser sends about twenty. */
export const MAX_FIELDS = 128;

/**
 * The highest limit that a server may set. To fill the platform's `Headers` takes quadratic time, and to list them far more;
 * up to this number it is nearly linear.
 */
export const MOST_FIELDS = 1024;

/**
 * The header fields of a message, in the order of their arrival. Only their positions in the text of the head are stored,
 * four numbers for each. Strings are made on demand: a handshake needs about half of the fields.
 */
export class Fields implements Iterable<[name: string, value: string]> {
  readonly #text: string;
  readonly #index: readonly number[];

  /**
   * Makes fields from the result of {@linkcode parseFields}.
   *
   * @param text The head.
   * @param index For each field: the start and the end of its name, and those of its value.
   */
  constructor(text: string, index: readonly number[]) {
    this.#text = text;
    this.#index = index;
  }

  /** The number of fields; those of the same name count separately. */
  get size(): number {
    return this.#index.length >> 2;
  }

  /**
   * Returns the value of a field. Several fields of one name are joined with `", "`, which means the same for every field
   * that is defined as a list (RFC 9110 5.3). `Set-Cookie` isn't one: iterate over the fields for that.
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
   * Counts the fields of a name.
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
   * Says whether a field occurs.
   *
   * @param name The name, in lower case.
   * @returns Whether there is at least one.
   */
  has(name: string): boolean {
    return this.#find(name, 0) !== -1;
  }

  /**
   * Converts the fields to `Headers`; several `Set-Cookie` are kept separate.
   *
   * @returns New headers.
   */
  toHeaders(): Headers {
    const headers = new Headers();
    for (const [name, value] of this) headers.append(name, value);
    return headers;
  }

  /** Names with their original case, and values, in order. */
  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    const index = this.#index;
    for (let at = 0; at < index.length; at += 4) {
      yield [
        this.#text.substring(index[at], index[at + 1]),
        this.#valueAt(at),
      ];
    }
  }

  /** The position in the index of the next field of a name, beginning at `from`; -1 if there is none. */
  #find(name: string, from: number): number {
    const index = this.#index;
    const length = name.length;
    for (let at = from; at < index.length; at += 4) {
      // Most names differ in length, which saves a call.
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
 * Reads the field lines of a head (RFC 9112 5) strictly. A name is a token, directly followed by the colon: parsers
 * disagree about white space there, so it must be refused (5.1). Lines end with CR LF, and folds aren't allowed (5.2).
 *
 * @param text The head.
 * @param at The index of the first field line.
 * @param maxFields The most fields.
 * @returns The fields.
 * @throws {BadHeadError} With status 400 if a line isn't a field, or if bytes follow the head in `text`; with 431 if there
 * are too many fields.
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
      throw badFieldLine(text, nameStart);
    }
    if (code !== COLON) throw badFieldLine(text, nameStart);
    do code = text.charCodeAt(++at); while (code === SP || code === HTAB);
    const valueStart = at;
    while (FIELD_CHAR[code] === 1) code = text.charCodeAt(++at);
    if (code !== CR || text.charCodeAt(at + 1) !== LF) throw badFieldLine(text, nameStart);
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

function badFieldLine(text: string, start: number): BadHeadError {
  const end = text.indexOf("\r\n", start);
  const line = text.substring(start, end === -1 ? text.length : end);
  return new BadHeadError(400, `The head has a line that is not a header field: ${show(line)}`);
}
