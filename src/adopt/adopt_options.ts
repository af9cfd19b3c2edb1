import type { IncomingMessage } from "node:http";
import type { Extension } from "../handshake/extension_list.ts";
import type { HeadersOption } from "../handshake/headers_option.ts";
import type { OriginRule } from "../handshake/origin.ts";
import type { HandshakeDecision } from "../server/listen_options.ts";
import type { PeerInfo } from "../server/peer_info.ts";
import type { CallArguments, CallData, ConnectionOptions } from "../connection_options.ts";

/**
 * Options of `adopt`: those of every connection, and those of the handshake.
 *
 * @see {@linkcode Context.prototype.adopt}
 */
export interface AdoptOptions<Data = unknown, Decision = HandshakeDecision<Data>>
  extends ConnectionOptions<Data> {
  /**
   * The role of this end.
   *
   * @default {"server"}
   */
  role?: "server" | "client";
  /**
   * Whether the opening handshake has to be done. If it was done elsewhere (`false`), `protocol`, `extensions`, `request`
   * and `url` describe its result.
   *
   * @default {true}
   */
  handshake?: boolean;
  /** Bytes that were read from the stream already; they may contain the head of the handshake or a part of it. */
  initialData?: Uint8Array;
  /**
   * The client's request, if the caller has read it: a `Request`, or that of `node:http`'s `upgrade` event. The handshake
   * answers it; with `handshake: false` it is only the value of `conn.request`.
   */
  request?: Request | IncomingMessage;
  /** Server: the supported subprotocols. Client: those to offer. Both in order of preference. */
  protocols?: string | readonly string[];
  /** Server: headers of the 101. Client: headers of the request. */
  headers?: HeadersOption;
  /** Server: chooses one of the offered subprotocols, instead of `protocols`. */
  selectProtocol?: (
    offered: string[],
    request: Request,
  ) => string | undefined | PromiseLike<string | undefined>;
  /** Server: the accepted origins. Default: all. */
  origins?: OriginRule;
  /**
   * Server: the longest time from the call to the 101, in ms; 0 for ever.
   *
   * @default {10000}
   */
  handshakeTimeout?: number;
  /**
   * Server: the largest request head, in bytes; 0 for no limit.
   *
   * @default {16384}
   */
  maxHeaderBytes?: number;
  /**
   * Server: the most header fields of a request; 0 for the highest possible limit, 1,024.
   *
   * @default {128}
   */
  maxHeaderFields?: number;
  /** Server: decides about the handshake, as in `listen`. */
  onHandshake?: (
    request: Request,
    info: PeerInfo,
  ) => Decision | PromiseLike<Decision>;
  /** Client: the URL to request; mandatory for a handshake. With `handshake: false` it is only the value of `conn.url`. */
  url?: string | URL;
  /** Client: extensions to offer. With `handshake: false`: the agreed ones, as in the header. */
  extensions?: string | readonly (string | Extension)[];
  /**
   * Client: the longest time from the call to the answer, in ms; 0 for ever.
   *
   * @default {10000}
   */
  connectTimeout?: number;
  /** Client: cancels the handshake when aborted. */
  signal?: AbortSignal;
  /**
   * With `handshake: false`: the agreed subprotocol.
   *
   * @default {""}
   */
  protocol?: string;
}

/**
 * The arguments of `adopt` after the stream, by the type of the context's `data`.
 *
 * @see {@linkcode Context}
 */
export type AdoptArguments<Data, Default, Own = Data> = undefined extends Data ? CallArguments<
    AdoptOptions<
      CallData<Data, NoInfer<Own>>,
      HandshakeDecision<CallData<Data, NoInfer<Own>> | undefined>
    >,
    Data,
    Default,
    Own
  >
  : undefined extends Default ? [
      options:
        | (AdoptOptions<Data, HandshakeDecision<Data | undefined>> & { data: Data })
        | (AdoptOptions<Data> & { role?: "server"; handshake?: true; onHandshake: unknown }),
    ]
  : [options?: AdoptOptions<Data, HandshakeDecision<Data | undefined>>];
