import { UnsupportedError } from "../errors.ts";
import { FRAME_HANDLERS } from "../engine/handlers.ts";
import type { HeadersOption } from "../handshake/headers_option.ts";
import type { OriginRule } from "../handshake/origin.ts";
import type { ConnectionOptions } from "../connection_options.ts";

/**
 * Options of `upgrade`. With `Deno.serve`, those that need frames throw.
 *
 * @see {@linkcode Context.prototype.upgrade}
 */
export interface UpgradeOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** The supported subprotocols, in order of preference. If the client offers none of them, the connection has none. */
  protocols?: string | readonly string[];
  /** Chooses one of the offered subprotocols, instead of `protocols`; returns `""` or nothing for none. */
  selectProtocol?: (offered: string[], request: Request) => string | undefined;
  /** Headers of the 101. */
  headers?: HeadersOption;
  /**
   * The accepted origins, as for `listen`; with `Deno.serve` a function must not return a promise. For other origins the
   * response has status 403, and the connection fails with a `HandshakeError`. Default: all, with a warning on the console
   * if the request has cookies: then a page of any site can act in the name of its visitors.
   */
  origins?: OriginRule;
  /**
   * The longest time from the call until the response is sent, in ms; 0 for ever.
   *
   * @default {10000}
   */
  handshakeTimeout?: number;
  /**
   * With `Deno.serve`: the most bytes that may wait while the connection is held, with 64 more for each message; 0 for no
   * limit. Deno's own WebSocket can't stop reading, so the peer can't be slowed down: more closes with 1013.
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

/** The options that need frames. */
const NEED_FRAMES = [
  ...FRAME_HANDLERS,
  "compression",
  "assemble",
  "answerPings",
  "allowRsv",
  "rateLimit",
];

/**
 * Refuses options that need frames. Defaults of the context aren't checked, since they are for other connections, too.
 *
 * @param options The options of the call.
 * @throws {UnsupportedError} If one needs frames; the message names methods that support it.
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

/** Whether a value is the only possible one: messages are always assembled and pings answered; the rest is off. */
function isHarmless(name: string, value: unknown): boolean {
  const always = name === "assemble" || name === "answerPings";
  return always ? value === true : value === false || value === null;
}

/**
 * Removes options that need frames, which can only be defaults of the context.
 *
 * @param options The options of the call merged with those defaults.
 * @returns The other options.
 */
export function withoutFrames<Options extends object>(options: Options): Options {
  const rest = { ...options } as Record<string, unknown>;
  for (const name of NEED_FRAMES) delete rest[name];
  return rest as Options;
}
