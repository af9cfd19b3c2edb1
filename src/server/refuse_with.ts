import { checkHeaders } from "../handshake/headers_option.ts";
import { Refusal } from "../handshake/refusal.ts";
import { concat } from "../util/bytes.ts";
import { EmptyPieces } from "../util/foreign.ts";

/** The largest body of a refusal in bytes: it is kept in memory until it is written. */
const MAX_BODY = 64 * 1024;

/**
 * Makes a refusal from a response of the application.
 *
 * @param response The response.
 * @param onCancel Gets a function that cancels the reading of the body.
 * @returns The refusal.
 * @throws If the status is an interim one, or the body fails, was used already or is larger than 64 KiB.
 */
export async function refuseWith(
  response: Response,
  onCancel: (cancel: () => void) => void,
): Promise<Refusal> {
  // A Response may have any status, but 101 or an interim one isn't a refusal.
  if (response.status < 200) {
    cancelBody(response);
    throw new TypeError(`Cannot refuse with status ${response.status}: use 200 to 599`);
  }
  const body = response.body === null ? new Uint8Array(0) : await readBody(response.body, onCancel);
  return new Refusal(response.status, response.statusText || "refused", {
    headers: checkHeaders(response.headers, null),
    body,
  });
}

async function readBody(
  body: ReadableStream<Uint8Array>,
  onCancel: (cancel: () => void) => void,
): Promise<Uint8Array> {
  const reader = body.getReader();
  onCancel(() => reader.cancel().catch(() => {}));
  const parts: Uint8Array[] = [], empty = new EmptyPieces();
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(parts);
    if (!(value instanceof Uint8Array)) {
      throw new TypeError(`Cannot refuse with a body of ${typeof value}: use bytes`);
    }
    length += value.length;
    if (length > MAX_BODY) {
      reader.cancel().catch(() => {});
      throw new RangeError(`Cannot refuse with a body of more than ${MAX_BODY} bytes`);
    }
    // An endless row of empty pieces would make the list grow without reaching the limit.
    if (value.length > 0) parts.push(value);
    await empty.note(value.length);
  }
}

/** Cancels the body of a response that won't be sent. */
export function cancelBody(response: Response): void {
  try {
    response.body?.cancel().catch(() => {});
  } catch {
    // Another consumer reads it.
  }
}
