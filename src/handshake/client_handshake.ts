import { HandshakeError } from "../errors.ts";
import { acceptKey, createKey, isValidKey } from "./accept_key.ts";
import { BadHeadError } from "./bad_head_error.ts";
import { equalsIgnoreCase } from "./chars.ts";
import { show } from "../util/show.ts";
import { type Extension, formatExtensions, parseExtensions } from "./extension_list.ts";
import { MAX_FIELDS, parseFields } from "./fields.ts";
import { checkFieldValue, type Field } from "./headers_option.ts";
import { HeadParser } from "./head_parser.ts";
import { http2Fields } from "./http2_fields.ts";
import { writeLatin1 } from "./latin1.ts";
import { parseResponseHead, ResponseHead } from "./response_head.ts";
import { formatFields } from "./server_response.ts";
import { checkProtocol, listContains } from "./token_list.ts";
import type { Target } from "./url.ts";
import { printable } from "../util/quote.ts";

/** The offer of a client. */
export interface ClientOffer {
  /** The subprotocols, in order of preference. */
  protocols?: readonly string[];
  /** The extensions, in order of preference. */
  extensions?: readonly Extension[];
  /** Further headers. */
  headers?: readonly Field[];
  /**
   * The largest response head in bytes, interim responses included.
   *
   * @default {16384}
   */
  maxHeaderBytes?: number;
  /** The key. Default: a random one; only tests need another. */
  key?: string;
}

/** The agreement of client and server. */
export interface Agreement {
  /** The subprotocol; `""` for none. */
  protocol: string;
  /** The extensions, as the server answered them; their parameters haven't been checked yet. */
  extensions: Extension[];
  /** The headers of the response. */
  headers: Headers;
}

/**
 * The client's side of an opening handshake (RFC 6455 4.1). Send {@linkcode ClientHandshake.request}, and pass the received
 * bytes to {@linkcode ClientHandshake.push} until it returns something else than -1. Then, if
 * {@linkcode ClientHandshake.accepted} is true, call {@linkcode ClientHandshake.finish}; otherwise collect the body of
 * the refusal and throw {@linkcode ClientHandshake.refused}.
 */
export class ClientHandshake {
  /** The bytes of the request. */
  readonly request: Uint8Array;
  readonly #target: Target;
  readonly #href: string;
  readonly #headers: readonly Field[];
  readonly #key: string;
  readonly #protocols: readonly string[];
  readonly #extensions: readonly Extension[];
  readonly #maxHeaderBytes: number;
  readonly #parser: HeadParser;
  #received = 0;
  #head: ResponseHead | null = null;

  /**
   * Writes the request, which the caller has to send.
   *
   * @param target The target, as `parseUrl` returned it.
   * @param offer The offer.
   * @throws {TypeError} If a subprotocol, an extension or a header can't be sent.
   */
  constructor(target: Target, offer: ClientOffer = {}) {
    this.#target = target;
    this.#href = target.href;
    this.#headers = offer.headers ?? [];
    this.#key = offer.key ?? createKey();
    this.#protocols = offer.protocols ?? [];
    this.#extensions = offer.extensions ?? [];
    this.#maxHeaderBytes = offer.maxHeaderBytes ?? 16384;
    this.#parser = new HeadParser(this.#maxHeaderBytes, true);
    this.request = formatRequest(target, this.#key, offer);
  }

  /** The head of the final response, or `null` before it is complete. */
  get head(): ResponseHead | null {
    return this.#head;
  }

  /** Whether the final response accepts. {@linkcode ClientHandshake.finish} still has to check the response. */
  get accepted(): boolean {
    const { version, status } = this.#head ?? { version: "1.1", status: 0 };
    // Any 2xx accepts a CONNECT (RFC 9113 8.5).
    return version === "2" ? status >= 200 && status < 300 : status === 101;
  }

  /** The fields of the request over HTTP/2, an extended CONNECT (RFC 8441 5), in the form for `node:http2`. */
  get http2Fields(): Record<string, string | number | string[]> {
    const { hostHeader, path, secure } = this.#target;
    const fields: Field[] = [["sec-websocket-version", "13"], ...this.#headers];
    if (this.#protocols.length > 0) {
      fields.push(["sec-websocket-protocol", this.#protocols.join(", ")]);
    }
    if (this.#extensions.length > 0) {
      fields.push(["sec-websocket-extensions", formatExtensions(this.#extensions)]);
    }
    return http2Fields({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": secure ? "https" : "http",
      ":authority": hostHeader,
      ":path": path,
    }, fields);
  }

  /**
   * Reads the head of the response over HTTP/2.
   *
   * @param fields Names and values in turn, pseudo-header fields included.
   * @throws {HandshakeError} If it has a field that no head can have, or too many.
   */
  takeHttp2(fields: readonly string[]): void {
    let text = "", status = 0;
    for (let at = 0; at + 1 < fields.length; at += 2) {
      if (fields[at] === ":status") status = Number(fields[at + 1]);
      else text += `${fields[at]}: ${fields[at + 1]}\r\n`;
    }
    try {
      this.#head = new ResponseHead("2", status, "", parseFields(`${text}\r\n`, 0, MAX_FIELDS));
    } catch (cause) {
      if (!(cause instanceof BadHeadError)) throw cause;
      throw new HandshakeError(`Cannot open ${this.#href}: ${cause.message}`, { cause });
    }
  }

  /**
   * Reads the next bytes of the response. Interim responses such as 100 and 103 are skipped (RFC 9110 15.2).
   *
   * @param bytes The received bytes; the caller may reuse the buffer after the call.
   * @returns -1 while the head isn't complete, then the index in `bytes` just after it, where the first frames or the
   * body of a refusal begin.
   * @throws {HandshakeError} If the response isn't HTTP/1.x, or its head is too large.
   */
  push(bytes: Uint8Array): number {
    let at = 0;
    try {
      while (true) {
        const used = this.#parser.push(at === 0 ? bytes : bytes.subarray(at));
        if (used === -1) return -1;
        at += used;
        const head = parseResponseHead(this.#parser.text);
        if (head.status >= 200 || head.status === 101) {
          this.#head = head;
          return at;
        }
        // Without a limit for all of them, a server could keep us waiting with interim responses for ever.
        this.#received += this.#parser.text.length;
        if (this.#received > this.#maxHeaderBytes) {
          throw new BadHeadError(431, `Interim responses exceed ${this.#maxHeaderBytes} bytes`);
        }
      }
    } catch (cause) {
      if (!(cause instanceof BadHeadError)) throw cause;
      throw new HandshakeError(`Cannot open ${this.#href}: ${cause.message}`, { cause });
    }
  }

  /**
   * Checks the server's 101 (RFC 6455 4.1, the list at the end).
   *
   * @returns The agreement.
   * @throws {HandshakeError} If the response doesn't answer our request.
   */
  finish(): Agreement {
    const head = this.#head;
    if (head === null || !this.accepted) throw this.refused();
    const { fields, version } = head;
    if (version !== "2") this.#checkUpgrade(head);
    const protocol = fields.get("sec-websocket-protocol");
    // Some servers send an empty field, which means the same as none.
    const isEmpty = protocol === "" && this.#protocols.length === 0;
    if (protocol !== null && !isEmpty && !this.#protocols.includes(protocol)) {
      throw this.#invalid(`the subprotocol ${show(protocol)} wasn't offered`);
    }
    return {
      protocol: protocol ?? "",
      extensions: this.#readExtensions(fields.get("sec-websocket-extensions")),
      headers: fields.toHeaders(),
    };
  }

  /** Checks the fields that only HTTP/1.1 has. */
  #checkUpgrade({ fields, version }: ResponseHead): void {
    if (version === "1.0") throw this.#invalid("101 in HTTP/1.0");
    const upgrade = fields.get("upgrade");
    if (upgrade === null || !equalsIgnoreCase(upgrade, 0, upgrade.length, "websocket")) {
      throw this.#invalid(`Upgrade must be "websocket", not ${show(upgrade)}`);
    }
    const connection = fields.get("connection");
    if (!listContains(connection, "upgrade")) {
      throw this.#invalid(`Connection must contain "Upgrade", not ${show(connection)}`);
    }
    const accept = fields.get("sec-websocket-accept");
    if (accept !== acceptKey(this.#key)) {
      throw this.#invalid(`Sec-WebSocket-Accept doesn't answer our key: ${show(accept)}`);
    }
  }

  /**
   * Makes the error of a refused handshake.
   *
   * @param body The collected part of the response's body.
   * @returns The error to reject with.
   */
  refused(body?: Uint8Array): HandshakeError {
    const head = this.#head;
    if (head === null) {
      const cause = new Deno.errors.UnexpectedEof("The stream ended before the answer's head did");
      return new HandshakeError(`Cannot open ${this.#href}: no answer`, { cause });
    }
    const { status, reason, fields } = head;
    const location = status >= 300 && status < 400 ? fields.get("location") : null;
    const redirect = location === null ? "" : ` to ${show(location)}, which is not followed`;
    const answer = reason === "" ? String(status) : `${status} ${printable(reason)}`;
    return new HandshakeError(
      `Cannot open ${this.#href}: the server answered ${answer}${redirect}`,
      {
        status,
        headers: fields.toHeaders(),
        body,
      },
    );
  }

  #readExtensions(list: string | null): Extension[] {
    if (list === null) return [];
    let extensions: Extension[];
    try {
      extensions = parseExtensions(list);
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw this.#invalid(cause.message);
    }
    for (const { name } of extensions) {
      if (!this.#extensions.some((offered) => offered.name === name)) {
        throw this.#invalid(`the extension ${show(name)} wasn't offered`);
      }
    }
    return extensions;
  }

  #invalid(why: string): HandshakeError {
    const { status, fields } = this.#head!;
    const headers = fields.toHeaders();
    return new HandshakeError(`Cannot open ${this.#href}: ${why}`, { status, headers });
  }
}

function formatRequest(target: Target, key: string, offer: ClientOffer): Uint8Array {
  const { protocols, extensions, headers } = offer;
  // The URL parser leaves no character that could end the line, but a target may not come from there.
  if (!/^\/[\x21-\x7e]*$/.test(target.path)) {
    throw new TypeError(`Cannot send a request for ${show(target.path)}: not a path`);
  }
  if (!isValidKey(key)) {
    throw new TypeError(`Cannot send the key ${show(key)}: not 16 bytes in base64`);
  }
  checkFieldValue("Host", target.hostHeader);
  let text = `GET ${target.path} HTTP/1.1\r\nHost: ${target.hostHeader}\r\n` +
    "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n`;
  if (protocols !== undefined && protocols.length > 0) {
    text += `Sec-WebSocket-Protocol: ${protocols.map(checkProtocol).join(", ")}\r\n`;
  }
  if (extensions !== undefined && extensions.length > 0) {
    text += `Sec-WebSocket-Extensions: ${formatExtensions(extensions)}\r\n`;
  }
  if (headers !== undefined) text += formatFields(headers);
  text += "\r\n";
  const bytes = new Uint8Array(text.length);
  writeLatin1(text, bytes, 0);
  return bytes;
}
