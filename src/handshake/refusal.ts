import { HandshakeError } from "../errors.ts";
import { BadHeadError } from "./bad_head_error.ts";
import type { Field } from "./headers_option.ts";
import { formatRefusal } from "./server_response.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { stackless } from "../util/stackless.ts";

/** Details of a refusal in addition to its status and its message. */
export interface RefusalDetails {
  /** Headers for the response. */
  headers?: readonly Field[];
  /** The body of the response. Default: the message. */
  body?: string | Uint8Array;
  /** The error that has led to it; only for the application. */
  cause?: unknown;
  /**
   * Whether the request asked for a WebSocket at all.
   *
   * @default {true}
   */
  isUpgrade?: boolean;
}

/**
 * A server refuses a request: the response for the peer, and the error for the application. It is thrown, but it isn't an
 * `Error`, whose stack would cost more than the rest of a refusal: thousands of handshakes may time out at once.
 */
export class Refusal {
  /** The status of the response. */
  readonly status: number;
  /** The reason for the refusal. */
  readonly message: string;
  /** The error that has caused the refusal. */
  readonly cause: unknown;
  /** Headers for the response. */
  readonly headers: readonly Field[];
  /** The body of the response. */
  readonly body: string | Uint8Array;
  /** Whether the request asked for a WebSocket at all. */
  readonly isUpgrade: boolean;

  /**
   * Makes a refusal.
   *
   * @param status The status of the response.
   * @param message The reason.
   * @param details Headers, body and cause.
   */
  constructor(status: number, message: string, details: RefusalDetails = {}) {
    this.status = status;
    this.message = message;
    this.cause = details.cause;
    this.headers = details.headers ?? [];
    this.body = details.body ?? message;
    this.isUpgrade = details.isUpgrade ?? true;
  }

  /**
   * Writes the response.
   *
   * @param omitBody Whether the request was a HEAD.
   * @returns The bytes of the response.
   */
  format(omitBody: boolean): Uint8Array {
    return formatRefusal(this.status, this.headers, this.body, omitBody);
  }

  /** The error for the application. */
  get error(): HandshakeError {
    const { body } = this;
    const message = `Refused a handshake with ${this.status}: ${this.message}`;
    const answer = {
      status: this.status,
      headers: new Headers(this.headers.map(([name, value]): [string, string] => [name, value])),
      body: typeof body === "string" ? encodeUtf8(body) : body,
      cause: this.cause,
      isUpgrade: this.isUpgrade,
    };
    return stackless(() => new HandshakeError(message, answer));
  }
}

/**
 * Makes the refusal for a callback that has failed. The peer doesn't see the error.
 *
 * @param cause The error of the callback.
 * @returns The refusal, with 500.
 */
export function internalError(cause: unknown): Refusal {
  return new Refusal(500, "Internal Server Error", { cause });
}

/** Returns the refusal to answer an error in a handshake with; `null` if the error isn't the client's. */
export function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refusal) return error;
  if (error instanceof BadHeadError) return new Refusal(error.status, error.message);
  return null;
}
