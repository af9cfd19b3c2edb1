import { parseProxyUrl, type Proxy } from "./proxy/proxy_url.ts";
import { show } from "../handshake/chars.ts";
import { checkExtensions, type Extension } from "../handshake/extension_list.ts";
import { checkHeaders, type Field, type HeadersOption } from "../handshake/headers_option.ts";
import { checkProtocols } from "../handshake/token_list.ts";
import { parseUrl, type Target } from "../handshake/url.ts";
import { HANDLERS } from "../engine/handlers.ts";
import type { Settings } from "../engine/settings.ts";
import { type ConnectionOptions, resolveSettings } from "../connection_options.ts";
import { checkHandlers, limit } from "../util/check.ts";
import { checkTlsClientOptions, type TlsClientOptions } from "../transport/tls_client.ts";

/** How a client does TLS. */
export type ConnectTlsOptions = TlsClientOptions;

/** Where to dial. */
export interface DialAddress {
  /** A host name or an IP address, IPv6 with or without brackets. */
  hostname: string;
  /** The TCP port. */
  port: number;
}

/** Options of `connect`. */
export interface ConnectOptions<Data = unknown> extends ConnectionOptions<Data> {
  /** The subprotocols to offer, the preferred first. */
  protocols?: string | readonly string[];
  /** Extensions of the application's own, offered as given. */
  extensions?: readonly (string | Extension)[];
  /** Headers of the request; those of the handshake itself throw. */
  headers?: HeadersOption;
  /** The whole of DNS, TCP, proxy, TLS and the answer, in ms; 0: no limit. @default {10000} */
  connectTimeout?: number;
  /** Cancels the attempt; has no effect on an open connection. */
  signal?: AbortSignal;
  /** How to do TLS. */
  tls?: ConnectTlsOptions;
  /**
   * The proxy to go through: `http://[user:pass@]host:port`, `https://…` or `socks5://…`; `null` for none. Left out, the
   * environment's (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`), if reading it has been permitted already.
   */
  proxy?: string | URL | null;
  /** A Unix socket to connect to, in place of the URL's host and port. */
  unix?: string;
  /**
   * The address to dial, also through a proxy, in place of the URL's; the `Host` header and the name that the server's
   * certificate must be for stay the URL's.
   */
  address?: DialAddress;
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
  /** The proxy; `null` for none, `undefined` for the environment's. */
  readonly proxy: Proxy | null | undefined;
  /** A Unix socket, or where TCP goes to; the host is without brackets. */
  readonly address: string | DialAddress;
}

/** Checks the arguments of `connect`. */
export function resolveConnect(url: string | URL, options: ConnectOptions): ConnectSettings {
  checkHandlers("connect", options, HANDLERS);
  checkTlsClientOptions(options.tls ?? {});
  const target = parseUrl(url);
  return {
    connection: resolveSettings("connect", options, false),
    target,
    protocols: checkProtocols(options.protocols),
    extensions: checkExtensions(options.extensions),
    headers: checkHeaders(options.headers, "client"),
    connectTimeout: limit("connect", "connectTimeout", options.connectTimeout, 10_000),
    signal: checkSignal(options.signal),
    tls: options.tls ?? {},
    proxy: options.proxy === undefined || options.proxy === null
      ? options.proxy
      : parseProxyUrl(options.proxy),
    address: checkAddress(options, target),
  };
}

function checkAddress({ unix, address }: ConnectOptions, target: Target): string | DialAddress {
  if (unix !== undefined) {
    if (typeof unix !== "string" || unix === "") {
      throw new TypeError(`Cannot connect to the path ${JSON.stringify(unix)}: not a path`);
    }
    if (address !== undefined) {
      throw new TypeError("Cannot connect to a path and to an address: give one of them");
    }
    return unix;
  }
  if (address === undefined) return target;
  if (typeof address !== "object" || address === null) {
    throw new TypeError(
      `Cannot connect to the address ${show(address)}: must be { hostname, port }`,
    );
  }
  const { hostname, port } = address;
  if (typeof hostname !== "string" || !/^(?:[\w.:%-]{1,255}|\[[\w.:%-]+\])$/.test(hostname)) {
    throw new TypeError(
      `Cannot connect to the address with hostname ${show(hostname)}: not a host`,
    );
  }
  if (typeof port !== "number") {
    throw new TypeError(
      `Cannot connect to the address with port that is not a number: received ${typeof port}`,
    );
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new RangeError(`Cannot connect to the address with port ${port}: use 1 to 65535`);
  }
  return { hostname: hostname.replace(/^\[|\]$/g, ""), port };
}

function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(
    `Cannot connect with a signal that is not an AbortSignal: received ${show(signal)}`,
  );
}
