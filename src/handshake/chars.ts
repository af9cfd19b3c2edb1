// Octets such as CR are constants of each file: with imported ones the search of `head_parser.ts` takes 18 % longer.

/** 1 for each octet that may be in a token (RFC 9110 5.6.2), else 0. */
export const TOKEN_CHAR: Uint8Array = new Uint8Array(256);

/**
 * 1 for each octet that may be inside a field value: HTAB, SP, visible ASCII and obs-text (RFC 9110 5.5).
 * Any other octet is an attempt to end the line early, or a mistake that another parser on the way could read as one.
 */
export const FIELD_CHAR: Uint8Array = new Uint8Array(256);

for (let code = 0x30; code <= 0x7a; code++) {
  const letterOrDigit = code <= 0x39 || (code >= 0x41 && code <= 0x5a) || code >= 0x61;
  if (letterOrDigit) TOKEN_CHAR[code] = 1;
}
for (const char of "!#$%&'*+-.^_`|~") TOKEN_CHAR[char.charCodeAt(0)] = 1;

FIELD_CHAR[0x09] = 1;
for (let code = 0x20; code <= 0xff; code++) FIELD_CHAR[code] = code === 0x7f ? 0 : 1;

/**
 * Says whether a string is a token: one or more of the characters that need no quoting (RFC 9110 5.6.2).
 *
 * @param text The string in question.
 * @returns Whether it is a token.
 */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff || TOKEN_CHAR[code] === 0) return false;
  }
  return text.length > 0;
}

/**
 * Compares a part of `text` with a lower-case name, case-insensitively in ASCII only: `toLowerCase` would also turn U+212A
 * into `k`, and would allocate.
 *
 * @param text The string that contains the part.
 * @param start The start of the part.
 * @param end The end of the part.
 * @param lower The name, in lower case.
 * @returns Whether they are the same name.
 */
export function equalsIgnoreCase(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let at = 0; at < lower.length; at++) {
    let code = text.charCodeAt(start + at);
    if (code >= 0x41 && code <= 0x5a) code |= 0x20;
    if (code !== lower.charCodeAt(at)) return false;
  }
  return true;
}
