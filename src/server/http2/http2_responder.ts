import type { ServerHttp2Stream } from "node:http2";
import { formatExtensions } from "../../handshake/extension_list.ts";
import { http2Fields } from "../../handshake/http2_fields.ts";
import type { Field } from "../../handshake/headers_option.ts";
import type { Refusal } from "../../handshake/refusal.ts";
import type { Acceptance } from "../../handshake/server_response.ts";
import { checkProtocol } from "../../handshake/token_list.ts";
import type { Responder } from "../responder.ts";
import { encodeUtf8 } from "../../protocol/utf8.ts";

/** Answers a handshake over HTTP/2. A response with status 200 accepts it (RFC 8441 5). */
export class Http2Responder implements Responder {
  readonly httpVersion = "2";
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  // deno-lint-ignore require-await -- what `respond` throws is a rejection
  async accept({ protocol, extensions = [], headers = [] }: Acceptance): Promise<void> {
    const fields: Field[] = [];
    if (protocol) fields.push(["sec-websocket-protocol", checkProtocol(protocol)]);
    if (extensions.length > 0) {
      fields.push(["sec-websocket-extensions", formatExtensions(extensions)]);
    }
    this.#stream.respond(http2Fields({ ":status": 200 }, [...fields, ...headers]));
  }

  // deno-lint-ignore require-await -- what `respond` throws is a rejection
  async refuse({ status, headers, body }: Refusal, omitBody: boolean): Promise<void> {
    const content = typeof body === "string" ? encodeUtf8(body) : body;
    const bodiless = status === 204 || status === 304;
    const fields = headers.filter(([name]) => name.toLowerCase() !== "content-length");
    if (!bodiless) fields.push(["content-length", String(content.length)]);
    if (
      typeof body === "string" && !bodiless && content.length > 0 &&
      !headers.some(([name]) => name.toLowerCase() === "content-type")
    ) fields.push(["content-type", "text/plain; charset=utf-8"]);
    this.#stream.respond(http2Fields({ ":status": status }, fields));
    this.#stream.end(bodiless || omitBody ? undefined : content);
  }
}
