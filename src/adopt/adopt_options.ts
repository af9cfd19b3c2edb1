import type { IncomingMessage } from "node:http";
import type { Extension } from "../handshake/extension_list.ts";
import type { HeadersOption } from "../handshake/headers_option.ts";
import type { OriginRule } from "../handshake/origin.ts";
import type { HandshakeDecision } from "../server/listen_options.ts";
import type { PeerInfo } from "../server/peer_info.ts";
import type { CallArguments, CallData, ConnectionOptions } from "../connection_options.ts";

/**
 * Options of `adopt`: those of every connection, and those of the handshake, if it is still to be done.
 *
 * @see {@linkcode Context.prototype.adopt}
 */
export interface AdoptOptions<Data = unknown, Decision = HandshakeDecision<Data>>
  extends ConnectionOptions<Data> {
  /**
   * Which end we are.
   *
   * @default {"server"}
   */
  role?: "server" | "client";
  /**
   * Whether the opening handshake is still to be done. `false`: it has been; then `protocol`, `extensions`, `request`
   * and `url` say what was agreed.
   *
   * @default {true}
   */
  handshake?: boolean;
  /** Bytes that have been read from the stream already, the head of the handshake or a part of it included. */
  initialData?: Uint8Array;
  /**
   * The request of the client, if the caller has read it: a standard one, or that of `node:http`'s `upgrade`
   * event. It is answered then; with `handshake: false` it only shows as `conn.request`.
   */
  request?: Request | IncomingMessage;
  /** Server: subprotocols that are spoken, the preferred first. Client: those to offer. */
  protocols?: string | readonly string[];
  /** Headers of the 101, or of the client's request. */
  headers?: HeadersOption;
  /** Server: chooses among the offered subprotocols instead. */
  selectProtocol?: (
    offered: string[],
    request: Request,
  ) => string | undefined | PromiseLike<string | undefined>;
  /** Server: origins that are accepted. */
  origins?: OriginRule;
  /**
   * Server: from the call to the 101, in ms; 0 for ever.
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
   * Server: how many header fields a request may have; 0 for 1,024, the most there may be.
   *
   * @default {128}
   */
  maxHeaderFields?: number;
  /** Server: decides about the handshake, as in `listen`. */
  onHandshake?: (
    request: Request,
    info: PeerInfo,
  ) => Decision | PromiseLike<Decision>;
  /** Client: what to ask for; needed for a handshake. With `handshake: false` it only shows as `conn.url`. */
  url?: string | URL;
  /** Client: extensions to offer. With `handshake: false`: those that were agreed, as their header names them. */
  extensions?: string | readonly (string | Extension)[];
  /**
   * Client: from the call to the answer, in ms; 0 for ever.
   *
   * @default {10000}
   */
  connectTimeout?: number;
  /** Client: cancels the handshake. */
  signal?: AbortSignal;
  /**
   * With `handshake: false`: the subprotocol that was agreed.
   *
   * @default {""}
   */
  protocol?: string;
}

/**
 * The arguments of `adopt` after the stream, in a context whose connections have `data` of a type.
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
