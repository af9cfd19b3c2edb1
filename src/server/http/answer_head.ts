import { checkFieldValue, type Field } from "../../handshake/headers_option.ts";
import type { RequestHead } from "../../handshake/request_head.ts";
import { formatFields, REASONS } from "../../handshake/server_response.ts";
import { listContains } from "../../handshake/token_list.ts";

/** The framing of an answer's content (RFC 9112 6.3): none, a length, chunks, or up to the end of the connection. */
export type Framing = "none" | "length" | "chunked" | "close";

/** The head of an answer, partly from the application and partly from the state of the connection. */
export class AnswerHead {
  /** Whether the answer has content: not for HEAD, and not with 204, 205 and 304 (RFC 9110 15). */
  readonly hasContent: boolean;
  /** The length that the application has announced; `null` for none. */
  readonly length: number | null;
  /** Whether another request may follow on the connection. */
  persists: boolean;
  readonly #request: RequestHead;
  readonly #response: Response;
  readonly #fields: Field[] = [];
  #hasDate = false;
  #upgrades = false;

  constructor(request: RequestHead, response: Response) {
    this.#request = request;
    this.#response = response;
    const { status } = response;
    this.hasContent = request.method !== "HEAD" && status !== 204 && status !== 205 &&
      status !== 304;
    const connection = request.fields.get("connection");
    this.persists = request.version === "1.0"
      ? listContains(connection, "keep-alive")
      : !listContains(connection, "close");
    let length: number | null = null;
    for (const field of response.headers) {
      const [name, value] = field;
      switch (name) {
        case "connection":
          if (listContains(value, "close")) this.persists = false;
          continue;
        case "keep-alive":
        case "transfer-encoding":
          continue;
        case "content-length":
          if (/^\d{1,15}$/.test(value)) length = Number(value);
          continue;
        case "date":
          this.#hasDate = true;
          break;
        case "upgrade":
          this.#upgrades = true;
          break;
      }
      this.#fields.push(field);
    }
    this.length = length;
  }

  /** Whether the request was a HEAD. */
  get isForHead(): boolean {
    return this.#request.method === "HEAD";
  }

  /** The framing of content whose length isn't known beforehand: HTTP/1.0 has no chunks (RFC 9112 6.1). */
  get openEnded(): Framing {
    return this.#request.version === "1.0" ? "close" : "chunked";
  }

  /**
   * Returns the fields that don't depend on the version of HTTP.
   *
   * @param length The length of the content, or for HEAD the length that it would have; `null` if it isn't known.
   */
  fieldsWith(length: number | null): Field[] {
    const { status } = this.#response, fields = [...this.#fields];
    if (!this.#hasDate) fields.push(["date", httpDate()]);
    if (length !== null && status !== 204) {
      // A 304 has the length that a 200 would have, or none (RFC 9110 15.4.5); a 205 has no content (15.3.6).
      const said = status === 205 ? 0 : status === 304 ? this.length : length;
      if (said !== null) fields.push(["content-length", String(said)]);
    }
    return fields;
  }

  /**
   * Writes the head.
   *
   * @param framing The framing of the content.
   * @param length The length of the content, or for HEAD the length that it would have; `null` if it isn't known.
   */
  format(framing: Framing, length: number | null): string {
    const { status, statusText } = this.#response;
    const reason = checkFieldValue("the status text", statusText || (REASONS[status] ?? ""));
    if (framing === "close") this.persists = false;
    const fields = this.fieldsWith(framing === "chunked" ? null : length);
    let text = `HTTP/1.1 ${status} ${reason}\r\n${formatFields(fields)}`;
    if (framing === "chunked") text += "transfer-encoding: chunked\r\n";
    const options: string[] = [];
    if (!this.persists) options.push("close");
    else if (this.#request.version === "1.0") options.push("keep-alive");
    // A sender of `Upgrade` has to list it (RFC 9110 7.8).
    if (this.#upgrades) options.push("upgrade");
    if (options.length > 0) text += `connection: ${options.join(", ")}\r\n`;
    return `${text}\r\n`;
  }
}

let date = "", second = 0;

/** The current time (RFC 9110 5.6.7), formatted once a second. */
function httpDate(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    date = new Date(now * 1000).toUTCString();
  }
  return date;
}
