import { parseProxyUrl, type Proxy } from "./proxy/proxy_url.ts";
import { show } from "../handshake/chars.ts";
import { checkExtensions, type Extension } from "../handshake/extension_list.ts";
import { checkHeaders, type Field, type HeadersOption } from "../handshake/headers_option.ts";
import { checkProtocols } from "../handshake/token_list.ts";
import { parseUrl, type Target } from "../handshake/url.ts";
import { HANDLERS } from "../engine/handlers.ts";
import type { Settings } from "../engine/settings.ts";
import { type ConnectionOptions, resolveSettings } from "../connection_options.ts";
import { amount, checkHandlers } from "../util/check.ts";
import { checkTlsClientOptions, type TlsClientOptions } from "../transport/tls_client.ts";

/** How a client does TLS. */
export type ConnectTlsOptions = TlsClientOptions;

/** Options of `connect`. */
export interface ConnectOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** The subprotocols to offer, the preferred first. */
  protocols?: string | readonly string[];
  /** Extensions of the application's own, offered as given. */
  extensions?: readonly (string | Extension)[];
  /** Headers of the request; those of the handshake itself throw. */
  headers?: HeadersOption;
  /** The whole of DNS, TCP, TLS and the answer, in ms; 0 for ever. @default {10000} */
  connectTimeout?: number;
  /** Cancels the attempt; has no effect on an open connection. */
  signal?: AbortSignal;
  /** How to do TLS. */
  tls?: ConnectTlsOptions;
  /**
   * The proxy to go through: `http://[user:pass@]host:port`, `https://…` or `socks5://…`; `null` for none. Left out, the
   * environment's (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`), where reading it has been permitted already.
   */
  proxy?: string | URL | null;
  /** A Unix socket to connect to, in place of the URL's host and port. */
  unix?: string;
}

/** The options of `connect`, checked. */
export interface ConnectSettings {
  readonly connection: Settings;
  readonly target: Target;
  readonly protocols: readonly string[];
  readonly extensions: readonly Extension[];
  readonly headers: readonly Field[];
  readonly connectTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly tls: ConnectTlsOptions;
  /** The proxy; `null` for none, `undefined` for the environment's. */
  readonly proxy: Proxy | null | undefined;
  readonly path: string | undefined;
}

/** Checks the arguments of `connect`. */
export function resolveConnect(url: string | URL, options: ConnectOptions): ConnectSettings {
  checkHandlers("connect", options, HANDLERS);
  checkTlsClientOptions(options.tls ?? {});
  if (options.unix !== undefined && (typeof options.unix !== "string" || options.unix === "")) {
    throw new TypeError(`Cannot connect to the path ${JSON.stringify(options.unix)}: not a path`);
  }
  return {
    connection: resolveSettings("connect", options, false),
    target: parseUrl(url),
    protocols: checkProtocols(options.protocols),
    extensions: checkExtensions(options.extensions),
    headers: checkHeaders(options.headers, "client"),
    connectTimeout: amount("connect", "connectTimeout", options.connectTimeout, 10_000),
    signal: checkSignal(options.signal),
    tls: options.tls ?? {},
    proxy: options.proxy === undefined || options.proxy === null
      ? options.proxy
      : parseProxyUrl(options.proxy),
    path: options.unix,
  };
}

function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(
    `Cannot connect with a signal that is not an AbortSignal: received ${show(signal)}`,
  );
}
