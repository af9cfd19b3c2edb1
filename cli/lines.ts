import { concat } from "../src/util/bytes.ts";

const NEWLINE = 10;
const LONGEST = 64 * 1024 * 1024;

/**
 * Splits bytes into lines, without their ends. What is behind the last line's end is a line, too, unless it is empty.
 *
 * @param source The bytes.
 * @returns The lines, each the consumer's own.
 * @throws {RangeError} If a line is longer than 64 MiB.
 */
export async function* lines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array[] = [], length = 0;
  for await (const chunk of source) {
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) {
      rest.push(chunk.subarray(start, end));
      yield trimmed(concat(rest));
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

/** Without a carriage return at the end. */
function trimmed(line: Uint8Array): Uint8Array {
  return line[line.length - 1] === 13 ? line.subarray(0, -1) : line;
}
