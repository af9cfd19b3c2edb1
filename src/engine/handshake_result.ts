import type { CodecSettings } from "../deflate/negotiation.ts";
import { acceptKey } from "../handshake/accept_key.ts";
import type { Field } from "../handshake/headers_option.ts";
import { parseRequestHead, type RequestHead } from "../handshake/request_head.ts";
import { isHttp2Head } from "../handshake/http2_request.ts";
import { requestUrl, toStandardRequest } from "../handshake/standard_request.ts";

/** The version of HTTP that carried a handshake. */
export type HttpVersion = "1.1" | "2";

/** The result of an opening handshake. */
export interface HandshakeResult {
  readonly url: string;
  /** Default: `"1.1"`. */
  readonly httpVersion?: HttpVersion;
  readonly protocol: string;
  readonly extensions: string;
  /** The agreed parameters of compression; `null` for none. */
  readonly compression: CodecSettings | null;
  /** The request, built on first use; `null` if it isn't known. */
  request(): Request | null;
  /** The header fields of the request. A `Request` would take quadratic time to list them. */
  requestFields(): Iterable<readonly [name: string, value: string]> | null;
  responseHeaders(): Headers;
}

/**
 * What the handshake agreed on.
 *
 * @see {@linkcode Context.prototype.connect}
 */
export interface Negotiated {
  /** The subprotocol; `""` for none. */
  protocol: string;
  /** The extensions, as the `Sec-WebSocket-Extensions` header names them; `""` for none. */
  extensions: string;
  /** The headers of the response. */
  headers: Headers;
}

/** The result of a handshake on a server. The head is kept as text, and parsed again on demand. */
export class ServerHandshakeResult implements HandshakeResult {
  readonly protocol: string;
  readonly extensions: string;
  readonly compression: CodecSettings | null;
  readonly #head: string;
  readonly #secure: boolean;
  readonly #headers: readonly Field[];
  #request: Request | null = null;

  constructor(
    head: string,
    secure: boolean,
    protocol: string,
    extensions: string,
    headers: readonly Field[],
    compression: CodecSettings | null = null,
  ) {
    this.#head = head;
    this.compression = compression;
    this.#secure = secure;
    this.protocol = protocol;
    this.extensions = extensions;
    this.#headers = headers;
  }

  get httpVersion(): HttpVersion {
    return isHttp2Head(this.#head) ? "2" : "1.1";
  }

  get url(): string {
    const head = parseAgain(this.#head);
    return `${this.#secure ? "wss" : "ws"}://${head.host}${head.path}`;
  }

  request(): Request {
    return this.#request ??= makeRequest(this.#head, this.#secure);
  }

  requestFields(): Iterable<readonly [name: string, value: string]> {
    return parseAgain(this.#head).fields;
  }

  responseHeaders(): Headers {
    const headers = new Headers();
    if (this.httpVersion === "1.1") {
      const key = parseAgain(this.#head).fields.get("sec-websocket-key")!;
      headers.set("Upgrade", "websocket");
      headers.set("Connection", "Upgrade");
      headers.set("Sec-WebSocket-Accept", acceptKey(key));
    }
    if (this.protocol !== "") headers.set("Sec-WebSocket-Protocol", this.protocol);
    if (this.extensions !== "") headers.set("Sec-WebSocket-Extensions", this.extensions);
    for (const [name, value] of this.#headers) headers.append(name, value);
    return headers;
  }
}

/** Makes a `Request` from the head of a received request. Its host and path must form a URL. */
export function makeRequest(text: string, secure: boolean): Request {
  const head = parseAgain(text);
  return toStandardRequest(head, requestUrl(head, secure, ""));
}

/** Parses a head that has passed all checks before, so the number of its fields isn't limited again. */
function parseAgain(text: string): RequestHead {
  return parseRequestHead(text, Infinity, isHttp2Head(text) ? 2 : 1);
}

/** The result of a handshake that another library did: only what it agreed on is known. */
export class OutsideHandshakeResult implements HandshakeResult {
  readonly url: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly compression: CodecSettings | null;

  constructor(
    url: string,
    protocol: string,
    extensions: string,
    compression: CodecSettings | null,
  ) {
    this.url = url;
    this.protocol = protocol;
    this.extensions = extensions;
    this.compression = compression;
  }

  request(): null {
    return null;
  }

  requestFields(): null {
    return null;
  }

  responseHeaders(): Headers {
    return new Headers();
  }
}

/** The result of a handshake on a client. */
export class ClientHandshakeResult implements HandshakeResult {
  readonly url: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly compression: CodecSettings | null;
  readonly httpVersion: HttpVersion;
  readonly #headers: Headers;

  constructor(
    url: string,
    protocol: string,
    extensions: string,
    headers: Headers,
    compression: CodecSettings | null = null,
    httpVersion: HttpVersion = "1.1",
  ) {
    this.httpVersion = httpVersion;
    this.compression = compression;
    this.url = url;
    this.protocol = protocol;
    this.extensions = extensions;
    this.#headers = headers;
  }

  request(): null {
    return null;
  }

  requestFields(): null {
    return null;
  }

  responseHeaders(): Headers {
    return this.#headers;
  }
}
