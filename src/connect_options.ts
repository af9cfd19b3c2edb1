import { show } from "./handshake/chars.ts";
import { checkExtensions, type Extension } from "./handshake/extension_list.ts";
import { checkHeaders, type Field, type HeadersOption } from "./handshake/field_value.ts";
import { checkProtocols } from "./handshake/token_list.ts";
import { parseUrl, type Target } from "./handshake/url.ts";
import {
  amount,
  checkHandlers,
  type ConnectionOptions,
  HANDLERS,
  resolveSettings,
  type Settings,
} from "./options.ts";

/** How a client does TLS. */
export interface ConnectTlsOptions {
  /** Further authorities to trust, PEM text. */
  caCerts?: string[];
  /** The client's certificate, PEM text. */
  cert?: string;
  /** The key of the client's certificate, PEM text. */
  key?: string;
  /** The name that the server's certificate must carry. Default: the host of the URL. */
  serverName?: string;
  /** Accepts any certificate. @default {false} */
  insecure?: boolean;
}

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
}

/** Checks the arguments of `connect`. */
export function resolveConnect(url: string | URL, options: ConnectOptions): ConnectSettings {
  checkHandlers("connect", options, HANDLERS);
  return {
    connection: resolveSettings("connect", options, false),
    target: parseUrl(url),
    protocols: checkProtocols(options.protocols),
    extensions: checkExtensions(options.extensions),
    headers: checkHeaders(options.headers, "client"),
    connectTimeout: amount("connect", "connectTimeout", options.connectTimeout, 10_000),
    signal: checkSignal(options.signal),
    tls: options.tls ?? {},
  };
}

function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(
    `Cannot connect with a signal that is not an AbortSignal: received ${show(signal)}`,
  );
}
