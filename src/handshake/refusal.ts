import { HandshakeError } from "../errors.ts";
import { BadHeadError } from "./bad_head_error.ts";
import { checkHeaders, type Field } from "./headers_option.ts";
import { Refusal } from "./server_handshake.ts";
import { formatRefusal } from "./server_response.ts";

/** A handshake that we refuse: what the peer is answered, and the error for the application. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly answer: Uint8Array;
  readonly #status: number;
  readonly #headers: readonly Field[];
  readonly #body: string | Uint8Array;

  constructor(
    status: number,
    message: string,
    headers: readonly Field[] = [],
    body: string | Uint8Array = message,
    cause?: unknown,
  ) {
    super(message, { cause });
    this.answer = formatRefusal(status, headers, body);
    this.#status = status;
    this.#headers = headers;
    this.#body = body;
  }

  /** The error for the application, made when it is asked for: thousands of handshakes may time out at once. */
  get error(): HandshakeError {
    const body = this.#body;
    return new HandshakeError(`Refused a handshake with ${this.#status}: ${this.message}`, {
      status: this.#status,
      headers: new Headers(this.#headers.map(([name, value]): [string, string] => [name, value])),
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
      cause: this.cause,
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
