import { encodeUtf8 } from "../protocol/utf8.ts";

/**
 * Makes the value of `Authorization` or `Proxy-Authorization` for a user (RFC 7617 2). It is Base64 of UTF-8 (2.1), so no
 * character of the user can end the line.
 *
 * @param pair The user and the password, with a colon between them.
 * @returns The value.
 */
export function basicCredentials(pair: string): string {
  return `Basic ${encodeUtf8(pair).toBase64()}`;
}
