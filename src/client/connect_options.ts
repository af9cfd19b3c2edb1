import { parseProxyUrl, type Proxy } from "./proxy/proxy_url.ts";
import { checkExtensions, type Extension } from "../handshake/extension_list.ts";
import { checkHeaders, type Field, type HeadersOption } from "../handshake/headers_option.ts";
import { checkProtocols } from "../handshake/token_list.ts";
import { parseUrl, type Target } from "../handshake/url.ts";
import { HANDLERS } from "../engine/handlers.ts";
import type { Settings } from "../engine/settings.ts";
import { type ConnectionOptions, resolveSettings } from "../connection_options.ts";
import {
  checkHandlers,
  checkSignal,
  flag,
  group,
  integer,
  refusal,
  timeLimit,
} from "../util/check.ts";
import { resolveSockets } from "../transport/deno_sockets.ts";
import type { Sockets } from "../transport/sockets.ts";
import { checkTlsClientOptions, type TlsClientOptions } from "../transport/tls_client.ts";

/**
 * Options of TLS for a client.
 *
 * @see {@linkcode TlsClientOptions}
 */
export type ConnectTlsOptions = TlsClientOptions;

/**
 * An address to connect to.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * // The Host header names the URL's host, and so must a certificate; the connection goes to another address.
 * const conn = ctx.connect("ws://chat.example/", {
 *   address: { hostname: "127.0.0.1", port: listener.port },
 * });
 * await conn.opened;
 * ```
 */
export interface DialAddress {
  /** A host name or an IP address, IPv6 with or without brackets. */
  hostname: string;
  /** The TCP port. */
  port: number;
}

/**
 * Options of `connect`.
 *
 * @see {@linkcode Context.prototype.connect}
 */
export interface ConnectOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** The subprotocols to offer, in order of preference. */
  protocols?: string | readonly string[];
  /** Extensions that the application implements itself, offered as given. */
  extensions?: readonly (string | Extension)[];
  /** Headers of the request. Setting a header that the handshake sends itself throws. */
  headers?: HeadersOption;
  /**
   * The longest time to connect, in ms; 0 for no limit. It covers DNS, TCP, the proxy, TLS and the server's answer.
   *
   * @default {10000}
   */
  connectTimeout?: number;
  /** Cancels the attempt when aborted. It has no effect on an open connection. */
  signal?: AbortSignal;
  /** Options of TLS. */
  tls?: ConnectTlsOptions;
  /**
   * The URL of a proxy: `http://[user:pass@]host:port`, `https://…` or `socks5://…`; `null` for none. Default: the proxy
   * from the environment (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`), if reading it is permitted already.
   */
  proxy?: string | URL | null;
  /** The path of a Unix socket to connect to, instead of the URL's host and port. */
  unix?: string;
  /**
   * The address to connect to instead of the URL's, also through a proxy. The `Host` header and the name that the server's
   * certificate must have are still the URL's.
   */
  address?: DialAddress;
  /**
   * The implementation of sockets. Default: Deno's own.
   *
   * @experimental It may change in a minor release.
   */
  sockets?: Sockets;
  /**
   * Whether to ask for HTTP/2 (RFC 8441), for `wss:` only. Connections of the context to the same host and port, with the
   * same `tls`, `proxy`, `address` and `sockets`, then share one connection to the server, which ends after the last of
   * them. With a server that doesn't speak HTTP/2, HTTP/1.1 is used.
   *
   * @default {false}
   */
  http2?: boolean;
}

/** The options of `connect`, checked. */
export interface ConnectSettings {
  readonly connection: Settings;
  readonly target: Target;
  readonly protocols: readonly string[];
  readonly extensions: readonly Extension[];
  readonly headers: readonly Field[];
  /** `Infinity` for no limit. */
  readonly connectTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly tls: ConnectTlsOptions;
  /** The proxy; `null` for none, `undefined` for that of the environment. */
  readonly proxy: Proxy | null | undefined;
  /** The path of a Unix socket, or the address for TCP, whose host is without brackets. */
  readonly address: string | DialAddress;
  readonly sockets: Sockets;
  /** Whether HTTP/2 is asked for. */
  readonly http2: boolean;
}

/** Checks the arguments of `connect`. */
export function resolveConnect(
  url: string | URL,
  options: ConnectOptions,
  action: string = "connect",
): ConnectSettings {
  checkHandlers(action, options, HANDLERS);
  checkTlsClientOptions(options.tls, action);
  checkSignal(action, options.signal);
  const target = parseUrl(url);
  const http2 = flag(action, "http2", options.http2, false);
  if (http2 && !target.secure) {
    throw new TypeError(`Cannot ${action} with http2 to ${target.href}: use wss:`);
  }
  return {
    connection: resolveSettings(action, options),
    target,
    protocols: checkProtocols(options.protocols),
    extensions: checkExtensions(options.extensions),
    headers: checkHeaders(options.headers, "client"),
    connectTimeout: timeLimit(action, "connectTimeout", options.connectTimeout, 10_000),
    signal: options.signal,
    tls: options.tls ?? {},
    proxy: options.proxy === undefined || options.proxy === null
      ? options.proxy
      : parseProxyUrl(options.proxy),
    address: checkAddress(action, options, target),
    sockets: resolveSockets(action, options.sockets),
    http2,
  };
}

function checkAddress(
  action: string,
  { unix, address }: ConnectOptions,
  target: Target,
): string | DialAddress {
  if (unix !== undefined) {
    if (typeof unix !== "string" || unix === "") {
      throw refusal(`${action} with unix`, unix, "the path of a Unix socket");
    }
    if (address !== undefined) {
      throw new TypeError(`Cannot ${action} with both unix and address: give one of them`);
    }
    return unix;
  }
  if (address === undefined) return target;
  group(action, "address", address, "{ hostname, port }");
  const { hostname, port } = address;
  if (typeof hostname !== "string" || !/^(?:[\w.:%-]{1,255}|\[[\w.:%-]+\])$/.test(hostname)) {
    throw refusal(`${action} with address.hostname`, hostname, "a host name or an address");
  }
  if (port === undefined) {
    throw refusal(`${action} with address.port`, port, "a whole number from 1 to 65535");
  }
  integer(action, "address.port", port, 0, 1, 65535);
  return { hostname: hostname.replace(/^\[|\]$/g, ""), port };
}
