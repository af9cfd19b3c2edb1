import { concat } from "../src/util/bytes.ts";

const NEWLINE = 10, RETURN = 13, SPACE = 32;
const LONGEST = 64 * 1024 * 1024;

/**
 * Splits bytes into lines, without their ends. Bytes after the last line end are a line, too.
 *
 * @param source The bytes.
 * @param mark The byte that ends a line. If it is a line feed, a carriage return before it is removed, too.
 * @returns The lines; the consumer may keep and change them.
 * @throws {RangeError} If a line is longer than 64 MiB.
 */
export async function* lines(
  source: AsyncIterable<Uint8Array>,
  mark: number = NEWLINE,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array[] = [], length = 0;
  for await (const chunk of source) {
    let start = 0;
    for (let end; (end = chunk.indexOf(mark, start)) >= 0; start = end + 1) {
      rest.push(chunk.subarray(start, end));
      yield mark === NEWLINE ? trimmed(concat(rest)) : concat(rest);
      rest = [];
      length = 0;
    }
    if (start < chunk.length) {
      rest.push(chunk.slice(start));
      length += chunk.length - start;
      if (length > LONGEST) throw new RangeError("Cannot read a line of more than 64 MiB");
    }
  }
  if (length > 0) yield concat(rest);
}

/** Removes a carriage return at the end. */
function trimmed(line: Uint8Array): Uint8Array {
  return line[line.length - 1] === RETURN ? line.subarray(0, -1) : line;
}

/** A text message as one line: a line end within it becomes a space. */
export function oneLine(text: string): string {
  return text.includes("\n") ? text.replace(/\r?\n/g, " ") : text;
}

/** The same as {@linkcode oneLine} for bytes, which it may change. */
export function oneLineOfBytes(bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(NEWLINE)) return bytes;
  let to = 0;
  for (let from = 0; from < bytes.length; from++) {
    if (bytes[from] === RETURN && bytes[from + 1] === NEWLINE) continue;
    bytes[to++] = bytes[from] === NEWLINE ? SPACE : bytes[from];
  }
  return bytes.subarray(0, to);
}
