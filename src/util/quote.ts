// Characters that could control a terminal or mislead a reader of logs: control characters (C0, DEL, C1), controls of
// writing direction, line and paragraph separators, and lone surrogates.
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Makes text from a peer safe to print in one line: characters that could control a terminal become JSON escapes; a tab
 * stays. Everything from a peer is printed by this function or the two below, in error messages, too.
 *
 * @param text The received text.
 * @returns One line.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => char === "\t" ? char : escaped(char));
}

/**
 * Quotes text from a peer.
 *
 * @param text The received text.
 * @param longest The most UTF-16 code units that are shown; `…` after the quotes means that there are more.
 * @returns A JSON string without characters that could control a terminal.
 */
export function quote(text: string, longest: number = Infinity): string {
  return text.length > longest ? `${toJson(text.slice(0, longest))}…` : toJson(text);
}

/**
 * Serialises a value as JSON in one line, without characters that could control a terminal.
 *
 * @param value A value that JSON can represent.
 * @returns The JSON text.
 */
export function toJson(value: unknown): string {
  // These characters occur only within JSON's strings, where they can be escaped.
  return JSON.stringify(value).replace(UNSAFE, escaped);
}

function escaped(char: string): string {
  const inJson = JSON.stringify(char);
  return inJson.length > 3
    ? inJson.slice(1, -1)
    : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
