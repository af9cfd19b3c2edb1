import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { RequestOptions } from "node:https";
import { nextTick } from "node:process";
import { unescape } from "node:querystring";
import type { Duplex } from "node:stream";
import { isToken } from "../handshake/chars.ts";
import { withWebSocketScheme } from "../handshake/url.ts";
import { emit } from "./events.ts";
import {
  acceptKey,
  checkCompressionAnswer,
  createKey,
  offerCompression,
  UnrequestedExtension,
} from "../adopt/outside_handshake.ts";
import {
  type Handshaken,
  type PerMessageDeflateOptions,
  type SharedOptions,
  termsOf,
} from "./options.ts";

const VERSIONS = [8, 13];

/**
 * Options of a client: those of `ws`, and those of `https.request`, which sends the handshake.
 *
 * @see {@linkcode WebSocket}
 */
export interface ClientOptions extends SharedOptions, Omit<RequestOptions, "protocol"> {
  /** The subprotocols to offer, if the second argument doesn't name them. */
  protocols?: string | readonly string[];
  /** The request's `Origin`. */
  origin?: string;
  /** Whether to offer compression, and how. @default {true} */
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  /** How long the handshake may take, in ms. Default: no limit. */
  handshakeTimeout?: number;
  /** Whether to follow redirects. @default {false} */
  followRedirects?: boolean;
  /** How many redirects to follow. @default {10} */
  maxRedirects?: number;
  /** The `Sec-WebSocket-Version` of the request; 13 is that of RFC 6455. @default {13} */
  protocolVersion?: number;
  /** Fills the masking key of each frame. */
  generateMask?: (mask: Uint8Array) => void;
  /** Called with the request before it is sent. It may change the headers, and has to end the request. */
  finishRequest?: (request: ClientRequest, socket: EventEmitter) => void;
}

/** What a handshake needs from its socket. */
export interface HandshakeHost {
  /** Emits `upgrade`, `redirect` and `unexpected-response`. */
  readonly socket: EventEmitter;
  /** Called when the handshake is complete. */
  attach(stream: Duplex, head: Uint8Array, handshaken: Handshaken<unknown>): void;
  /** Called when the handshake has failed. */
  failed(error: Error): void;
  /** Called when a redirect is followed. */
  redirected(url: string): void;
}

/** A handshake in progress. */
export interface Handshake {
  /** The parsed URL. */
  readonly url: string;
  /** Ends the handshake without a result. */
  cancel(): void;
}

interface Target {
  readonly url: URL;
  readonly secure: boolean;
  readonly unix: boolean;
}

/**
 * Starts the handshake of a client.
 *
 * @throws {SyntaxError} If the address or a subprotocol is invalid.
 */
export function startHandshake(
  host: HandshakeHost,
  address: string | URL,
  protocols: readonly string[],
  options: ClientOptions,
): Handshake {
  const { protocolVersion = 13 } = options;
  if (!VERSIONS.includes(protocolVersion)) {
    throw new RangeError(
      `Unsupported protocol version: ${protocolVersion} (supported versions: ${
        VERSIONS.join(", ")
      })`,
    );
  }
  const seen = new Set<string>();
  for (const protocol of protocols) {
    if (typeof protocol !== "string" || !isToken(protocol) || seen.has(protocol)) {
      throw new SyntaxError("An invalid or duplicated subprotocol was specified");
    }
    seen.add(protocol);
  }
  const target = readAddress(address);
  const attempt = new Attempt(host, protocols, options, target);
  attempt.start(target);
  return { url: target.url.href, cancel: () => attempt.cancel() };
}

/** @throws {SyntaxError} */
function readAddress(address: string | URL, base?: URL): Target {
  let url: URL;
  try {
    url = new URL(address, base);
  } catch {
    throw new SyntaxError(`Invalid URL: ${address}`);
  }
  url.protocol = withWebSocketScheme(url.protocol);
  const unix = url.protocol === "ws+unix:", secure = url.protocol === "wss:";
  if (!unix && !secure && url.protocol !== "ws:") {
    throw new SyntaxError(
      'The URL\'s protocol must be one of "ws:", "wss:", "http:", "https:", or "ws+unix:"',
    );
  }
  if (unix && url.pathname === "") throw new SyntaxError("The URL's pathname is empty");
  if (url.hash !== "") throw new SyntaxError("The URL contains a fragment identifier");
  return { url, secure, unix };
}

/** One handshake, with the redirects that it follows. */
class Attempt {
  readonly #host: HandshakeHost;
  readonly #protocols: readonly string[];
  readonly #options: ClientOptions;
  readonly #first: Target;
  /** The offered extensions; `""` for none. */
  readonly #offer: string;
  /** The application's headers. */
  readonly #headers: Record<string, string>;
  #request: ClientRequest | null = null;
  #redirects = 0;
  #over = false;

  constructor(
    host: HandshakeHost,
    protocols: readonly string[],
    options: ClientOptions,
    first: Target,
  ) {
    this.#host = host;
    this.#protocols = protocols;
    this.#options = options;
    this.#first = first;
    this.#headers = { ...options.headers as Record<string, string> | undefined };
    const { perMessageDeflate = true } = options;
    this.#offer = perMessageDeflate ? offerCompression(termsOf(perMessageDeflate)) : "";
  }

  start(target: Target): void {
    const key = createKey();
    const make = target.secure ? requestHttps : requestHttp;
    const request = this.#request = make(this.#requestOptions(target, key));
    if (this.#redirects > 0) {
      this.#host.redirected(target.url.href);
      emit(this.#host.socket, "redirect", target.url.href, request);
    }
    request.on("timeout", () => this.#abort("Opening handshake has timed out"));
    request.on("error", (error) => this.#failed(error));
    request.on("response", (response) => this.#answered(target, request, response));
    request.on("upgrade", (response, stream, head) => this.#upgraded(key, response, stream, head));
    if (this.#options.finishRequest !== undefined) {
      this.#options.finishRequest(request, this.#host.socket);
    } else {
      request.end();
    }
  }

  cancel(): void {
    this.#over = true;
    const request = this.#request;
    // A request that is destroyed in the turn that made it gets its socket later, and leaves it open with its agent.
    nextTick(() => request?.destroy());
  }

  #requestOptions({ url, unix }: Target, key: string): RequestOptions {
    const { handshakeTimeout, origin, protocolVersion = 13, ...rest } = this.#options;
    const [socketPath, unixPath = "/"] = unix ? unixParts(url) : [];
    return {
      ...rest,
      ...this.#credentialsFor(url),
      method: "GET",
      protocol: undefined,
      host: unix ? undefined : url.hostname.replace(/^\[(.*)\]$/, "$1"),
      hostname: undefined,
      port: unix ? undefined : url.port || undefined,
      socketPath,
      path: unix ? unixPath : url.pathname + url.search,
      timeout: handshakeTimeout,
      headers: {
        ...this.#headersFor(url),
        "Sec-WebSocket-Version": String(protocolVersion),
        "Sec-WebSocket-Key": key,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        ...(this.#offer === "" ? {} : { "Sec-WebSocket-Extensions": this.#offer }),
        ...(this.#protocols.length === 0
          ? {}
          : { "Sec-WebSocket-Protocol": this.#protocols.join(",") }),
        ...(origin ? { [protocolVersion < 13 ? "Sec-WebSocket-Origin" : "Origin"]: origin } : {}),
      },
    };
  }

  /** Whether a URL must not get the credentials of the first host. A listener of `redirect` decides that itself. */
  #isForeign(url: URL): boolean {
    if (this.#redirects === 0 || this.#host.socket.listenerCount("redirect") > 0) return false;
    return !this.#isFirstHost(url) || (this.#first.secure && url.protocol !== "wss:");
  }

  #isFirstHost(url: URL): boolean {
    return hostOf(url) === hostOf(this.#first.url);
  }

  /** The user info of the URL, or else the option `auth`. Redirects get the first credentials again. */
  #credentialsFor(url: URL): { auth?: string } {
    if (this.#isForeign(url)) return { auth: undefined };
    const auth = url.username === "" && url.password === ""
      ? this.#options.auth ?? undefined
      : `${unescape(url.username)}:${unescape(url.password)}`;
    if (auth && this.#options.followRedirects && !hasField(this.#headers, "authorization")) {
      this.#headers.authorization = `Basic ${Buffer.from(auth).toString("base64")}`;
    }
    return { auth };
  }

  /** The application's headers. After a redirect to another host, its credentials are removed. */
  #headersFor(url: URL): Record<string, string> {
    if (!this.#isForeign(url)) return this.#headers;
    const secret = ["authorization", "cookie", ...(this.#isFirstHost(url) ? [] : ["host"])];
    return Object.fromEntries(
      Object.entries(this.#headers).filter(([name]) => !secret.includes(name.toLowerCase())),
    );
  }

  #answered(target: Target, request: ClientRequest, response: IncomingMessage): void {
    const { statusCode = 0, headers: { location } } = response;
    const { followRedirects = false, maxRedirects = 10 } = this.#options;
    if (location !== undefined && followRedirects && statusCode >= 300 && statusCode < 400) {
      if (++this.#redirects > maxRedirects) {
        this.#abort("Maximum redirects exceeded");
        return;
      }
      request.removeAllListeners("error");
      request.on("error", () => {});
      request.destroy();
      try {
        this.start(readAddress(location, target.url));
      } catch (error) {
        this.#failed(error as Error);
      }
      return;
    }
    if (!emit(this.#host.socket, "unexpected-response", request, response)) {
      this.#abort(`Unexpected server response: ${statusCode}`);
    }
  }

  #upgraded(key: string, response: IncomingMessage, stream: Duplex, head: Buffer): void {
    emit(this.#host.socket, "upgrade", response);
    // A listener may have closed the socket.
    if (this.#over) {
      stream.destroy();
      return;
    }
    try {
      const agreed = this.#check(key, response);
      this.#over = true;
      this.#host.attach(stream, head, { role: "client", ...agreed });
    } catch (error) {
      stream.destroy();
      this.#failed(error as Error);
    }
  }

  /** @throws {Error} If the response doesn't match the request (RFC 6455 4.1). */
  #check(key: string, { headers }: IncomingMessage) {
    if (headers.upgrade?.toLowerCase() !== "websocket") throw new Error("Invalid Upgrade header");
    if (headers["sec-websocket-accept"] !== acceptKey(key)) {
      throw new Error("Invalid Sec-WebSocket-Accept header");
    }
    const protocol = headers["sec-websocket-protocol"] ?? "";
    if (protocol !== "" && this.#protocols.length === 0) {
      throw new Error("Server sent a subprotocol but none was requested");
    }
    if (protocol !== "" && !this.#protocols.includes(protocol)) {
      throw new Error("Server sent an invalid subprotocol");
    }
    if (protocol === "" && this.#protocols.length > 0) {
      throw new Error("Server sent no subprotocol");
    }
    const answer = headers["sec-websocket-extensions"];
    if (answer === undefined) return { protocol, extensions: "" };
    if (this.#offer === "") {
      throw new Error(
        "Server sent a Sec-WebSocket-Extensions header but no extension was requested",
      );
    }
    const { perMessageDeflate } = this.#options;
    try {
      const extensions = checkCompressionAnswer(answer, termsOf(perMessageDeflate));
      return { protocol, extensions };
    } catch (cause) {
      if (cause instanceof UnrequestedExtension) throw cause;
      throw new Error("Invalid Sec-WebSocket-Extensions header", { cause });
    }
  }

  #abort(message: string): void {
    const error = new Error(message);
    this.#request?.destroy();
    this.#failed(error);
  }

  #failed(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.failed(error);
  }
}

function hasField(headers: object, name: string): boolean {
  return Object.keys(headers).some((key) => key.toLowerCase() === name);
}

/** The path of the socket and the one of the request. */
function unixParts({ pathname, search }: URL): [string, string?] {
  const whole = `${pathname}${search}`, colon = whole.indexOf(":");
  return colon < 0 ? [whole] : [whole.slice(0, colon), whole.slice(colon + 1)];
}

/** The host of a URL, or the path of its Unix socket. */
function hostOf(url: URL): string {
  return url.protocol === "ws+unix:" ? `unix:${unixParts(url)[0]}` : url.host;
}
