// The characters that must never be written to a terminal (ECMA-48, Unicode 16 PropList.txt), listed independently of the
// library.

const ranges: [number, number][] = [
  [0x00, 0x1f], // C0
  [0x7f, 0x9f], // DEL, C1
  [0x61c, 0x61c], // ARABIC LETTER MARK
  [0x200e, 0x200f], // LEFT-TO-RIGHT MARK, RIGHT-TO-LEFT MARK
  [0x2028, 0x2029], // LINE SEPARATOR, PARAGRAPH SEPARATOR
  [0x202a, 0x202e], // embeddings and overrides
  [0x2066, 0x2069], // isolates
];

/** All these characters as strings. */
export const UNSAFE: readonly string[] = ranges.flatMap(([from, to]) =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCharCode(from + i))
);

/** The first of these characters in a text, except `allowed` ones. */
export function firstUnsafe(text: string, allowed = ""): string | undefined {
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (allowed.includes(char)) continue;
    if (UNSAFE.includes(char) || (code >= 0xd800 && code <= 0xdfff)) return code.toString(16);
  }
}
