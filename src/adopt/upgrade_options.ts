import { UnsupportedError } from "../errors.ts";
import { FRAME_HANDLERS } from "../engine/handlers.ts";
import type { HeadersOption } from "../handshake/headers_option.ts";
import type { OriginRule } from "../handshake/origin.ts";
import type { ConnectionOptions } from "../connection_options.ts";

/**
 * Options of `upgrade`; those that a message socket can't honour throw.
 *
 * @see {@linkcode Context.prototype.upgrade}
 */
export interface UpgradeOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** Subprotocols that are spoken, the preferred first. With nothing in common the connection has none. */
  protocols?: string | readonly string[];
  /** Chooses among the offered subprotocols instead; `""` or nothing for none. */
  selectProtocol?: (offered: string[], request: Request) => string | undefined;
  /** Headers of the 101. */
  headers?: HeadersOption;
  /**
   * Pages that may connect, as for `listen`, but decided at once: a function must not return a promise. Others get a
   * response with 403, and their connection fails with a `HandshakeError`. Default: all, and a warning on the console
   * if cookies come with it, since then a page of any site can act in the name of its visitors.
   */
  origins?: OriginRule;
  /**
   * From the call until the response has gone out, in ms; 0 for ever.
   *
   * @default {10000}
   */
  handshakeTimeout?: number;
  /**
   * What may pile up while the connection is held, in bytes, and 64 more for each message: Deno's own socket can't stop
   * reading, so the peer can't be held back. More closes with 1013; 0 for no limit.
   *
   * @default {1048576}
   */
  maxHeldBytes?: number;
}

/**
 * What `upgrade` returns.
 *
 * @see {@linkcode Context.prototype.upgrade}
 */
export interface UpgradeResult<Connection> {
  /** The response that the handler has to return. */
  response: Response;
  /** The connection; open once the response has been sent. */
  connection: Connection;
}

/** Options of connections that need frames. */
const NEED_FRAMES = [
  ...FRAME_HANDLERS,
  "compression",
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
    if (value === undefined || isHarmless(name, value)) continue;
    throw new UnsupportedError(
      `Cannot upgrade with ${name}: Deno's own sockets carry messages, not frames; use listen or adopt`,
    );
  }
}

/** Messages come assembled and pings answered, whatever is wished; every other option may be switched off. */
function isHarmless(name: string, value: unknown): boolean {
  const always = name === "assemble" || name === "answerPings";
  return always ? value === true : value === false || value === null;
}

/**
 * Leaves out what a message socket can't honour.
 *
 * @param options The options of the call and the defaults of the context, of which only the latter can have such.
 * @returns The others.
 */
export function withoutFrames<Options extends object>(options: Options): Options {
  const rest = { ...options } as Record<string, unknown>;
  for (const name of NEED_FRAMES) delete rest[name];
  return rest as Options;
}
