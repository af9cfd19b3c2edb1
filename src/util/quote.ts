// What a terminal or a reader of logs would obey, or be misled by: control characters (C0, DEL, C1), controls of writing
// direction, line and paragraph separators, and surrogates without their other half.
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Makes text that a peer said fit to be printed in a line: what a terminal would obey becomes its JSON escape, a tab
 * stays. This and the two functions below are how everything of a peer's is printed, in messages of errors, too.
 *
 * @param text What was received.
 * @returns One line.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => char === "\t" ? char : escaped(char));
}

/**
 * Quotes text that a peer said.
 *
 * @param text What was received.
 * @param longest How many UTF-16 code units of it are shown; `…` after the quotes means that there are more.
 * @returns A JSON string, in which what a terminal would obey is escaped.
 */
export function quote(text: string, longest: number = Infinity): string {
  return text.length > longest ? `${toJson(text.slice(0, longest))}…` : toJson(text);
}

/**
 * Serialises a value as JSON, in one line that no terminal obeys.
 *
 * @param value A value without anything that JSON leaves out.
 * @returns JSON.
 */
export function toJson(value: unknown): string {
  // Outside of its strings JSON has none of these.
  return JSON.stringify(value).replace(UNSAFE, escaped);
}

function escaped(char: string): string {
  const inJson = JSON.stringify(char);
  return inJson.length > 3
    ? inJson.slice(1, -1)
    : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
