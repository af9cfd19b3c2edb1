import { HandshakeError } from "./errors.ts";
import { BadHeadError } from "./handshake/bad_head_error.ts";
import { checkHeaders, type Field } from "./handshake/field_value.ts";
import { Refusal } from "./handshake/server_handshake.ts";
import { formatRefusal } from "./handshake/server_response.ts";

/** A handshake that we refuse: what the peer is answered, and the error for the application. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly answer: Uint8Array;
  readonly error: HandshakeError;

  constructor(
    status: number,
    message: string,
    headers: readonly Field[] = [],
    body: string | Uint8Array = message,
    cause?: unknown,
  ) {
    super(message);
    this.answer = formatRefusal(status, headers, body);
    this.error = new HandshakeError(`Refused a handshake with ${status}: ${message}`, {
      status,
      headers: new Headers(headers.map(([name, value]): [string, string] => [name, value])),
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
      cause,
    });
  }
}

/** What an error in a handshake means for the peer; `null` where it can't be told. */
export function refusalOf(error: unknown): Refused | null {
  if (error instanceof Refused) return error;
  if (error instanceof Refusal) return new Refused(error.status, error.message, error.headers);
  if (error instanceof BadHeadError) return new Refused(error.status, error.message);
  return null;
}

/** Refuses with a response of the application's. */
export async function refuseWith(response: Response): Promise<Refused> {
  const body = new Uint8Array(await response.arrayBuffer());
  // A Response may have any status; 101 and such would make no sense as a refusal.
  if (response.status < 200) throw new TypeError(`Cannot refuse with status ${response.status}`);
  const headers = checkHeaders(response.headers, null);
  return new Refused(response.status, response.statusText || "refused", headers, body);
}
