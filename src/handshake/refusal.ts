import { HandshakeError } from "../errors.ts";
import { BadHeadError } from "./bad_head_error.ts";
import type { Field } from "./headers_option.ts";
import { formatRefusal } from "./server_response.ts";

/** What a refusal says in addition to its status and its message. */
export interface RefusalDetails {
  /** The headers that the answer needs. */
  headers?: readonly Field[];
  /** Its body. Default: the message. */
  body?: string | Uint8Array;
  /** What has led to it; for the application only. */
  cause?: unknown;
  /**
   * Whether the request asked for a WebSocket at all.
   *
   * @default {true}
   */
  isUpgrade?: boolean;
}

/** A request that a server answers with something else than 101: what the peer gets, and the application's error. */
export class Refusal extends Error {
  /** The name of the class. */
  override readonly name = "Refusal";
  /** The status of the answer. */
  readonly status: number;
  /** The headers that the answer needs. */
  readonly headers: readonly Field[];
  /** The body of the answer. */
  readonly body: string | Uint8Array;
  /** Whether the request asked for a WebSocket at all. */
  readonly isUpgrade: boolean;

  /**
   * Makes the refusal.
   *
   * @param status The status of the answer.
   * @param message The reason.
   * @param details What else there is to say.
   */
  constructor(status: number, message: string, details: RefusalDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.status = status;
    this.headers = details.headers ?? [];
    this.body = details.body ?? message;
    this.isUpgrade = details.isUpgrade ?? true;
  }

  /**
   * Writes the answer.
   *
   * @param omitBody Whether the request was a HEAD.
   * @returns Its bytes.
   */
  format(omitBody: boolean): Uint8Array {
    return formatRefusal(this.status, this.headers, this.body, omitBody);
  }

  /** The error for the application, made when it is asked for: thousands of handshakes may time out at once. */
  get error(): HandshakeError {
    const { body } = this;
    return new HandshakeError(`Refused a handshake with ${this.status}: ${this.message}`, {
      status: this.status,
      headers: new Headers(this.headers.map(([name, value]): [string, string] => [name, value])),
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
      cause: this.cause,
      isUpgrade: this.isUpgrade,
    });
  }
}

/**
 * Refuses on behalf of the application, whose error is none of the peer's business.
 *
 * @param cause What its callback has thrown.
 * @returns The refusal, with 500.
 */
export function internalError(cause: unknown): Refusal {
  return new Refusal(500, "Internal Server Error", { cause });
}

/** What an error in a handshake means for the peer; `null` if nothing. */
export function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refusal) return error;
  if (error instanceof BadHeadError) return new Refusal(error.status, error.message);
  return null;
}
