import { UnsupportedError } from "../errors.ts";
import type { HeadersOption } from "../handshake/headers_option.ts";
import type { ConnectionOptions } from "../connection_options.ts";

/** Options of `upgrade`; those that a message socket can't honour throw. */
export interface UpgradeOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** Subprotocols that are spoken, the preferred first. With nothing in common the connection has none. */
  protocols?: string | readonly string[];
  /** Chooses among the offered subprotocols instead; `""` or nothing for none. */
  selectProtocol?: (offered: string[], request: Request) => string | undefined;
  /** Headers of the 101. */
  headers?: HeadersOption;
  /**
   * What may pile up while the connection is held, in bytes: Deno's own socket can't stop reading, so the peer can't be
   * held back. More closes with 1013; 0 for no limit.
   *
   * @default {1048576}
   */
  maxHeldBytes?: number;
}

/** What `upgrade` returns. */
export interface UpgradeResult<Connection> {
  /** The response that the handler has to return. */
  response: Response;
  /** The connection; open once the response has been sent. */
  connection: Connection;
}

/** Options of connections that need frames. */
const NEED_FRAMES = [
  "compression",
  "onPing",
  "onPong",
  "onFrameStart",
  "onFrameChunk",
  "onFrameEnd",
  "assemble",
  "answerPings",
  "allowRsv",
  "rateLimit",
];

/**
 * Refuses what a message socket can't honour. Defaults of the context aren't asked about: they were not meant for it.
 *
 * @param options The options of this call.
 * @throws {UnsupportedError} That names the ways that can.
 */
export function checkUpgradeOptions(options: object): void {
  for (const name of NEED_FRAMES) {
    const value = (options as Record<string, unknown>)[name];
    // Messages come assembled and pings answered, whatever is wished; every other option is off by default.
    if (value === undefined || value === (name === "assemble" || name === "answerPings")) continue;
    throw new UnsupportedError(
      `Cannot upgrade with ${name}: Deno's own sockets carry messages, not frames; use listen or adopt`,
    );
  }
}
