import { setImmediate } from "node:timers";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { BodyFramer } from "../../handshake/body_framer.ts";
import type { RequestHead } from "../../handshake/request_head.ts";
import { CONTINUE } from "../../handshake/server_response.ts";
import { requestUrl, toStandardRequest } from "../../handshake/standard_request.ts";
import { listContains } from "../../handshake/token_list.ts";
import { NOTHING } from "../../util/bytes.ts";
import { EmptyPieces, isThenable } from "../../util/foreign.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import { cancelBody } from "../refuse_with.ts";
import { AnswerHead, type Framing } from "./answer_head.ts";
import { AnswerWriter } from "./answer_writer.ts";
import type { HttpInput } from "./http_input.ts";
import { type BodyHost, RequestBody } from "./request_body.ts";
import { type Piece, ResponseBody } from "./response_body.ts";

/** The connection that an exchange takes place on. */
export interface ExchangeHost {
  readonly input: HttpInput;
  readonly secure: boolean;
  readonly handler: HttpHandler;
  /** Whether no further request will be taken. */
  readonly closing: boolean;
  /** Waits for the client to send something; `false` at its end. */
  more(): Promise<boolean>;
  /** Writes all of some bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the connection at once. */
  close(): void;
}

/** One request, and the answer that the application's handler gives. */
export class HttpExchange implements BodyHost {
  readonly input: HttpInput;
  readonly #host: ExchangeHost;
  readonly #head: RequestHead;
  readonly #info: PeerInfo;
  readonly #abort = new AbortController();
  #body: RequestBody | null = null;
  #answer: ResponseBody | null = null;
  #begun = false; // some of the answer was written
  #whole = false; // all of it is at hand
  #ended = false; // it was given
  #over = false; // the client has left, or was cut
  #broken: unknown;
  #continuing: Promise<void> | null = null;
  #settle: ((response: Response | null) => void) | null = null;

  /** @param info The client that has sent it. */
  constructor(host: ExchangeHost, head: RequestHead, info: PeerInfo) {
    this.input = host.input;
    this.#host = host;
    this.#head = head;
    this.#info = info;
  }

  /** Whether it was a HEAD. */
  get isHead(): boolean {
    return this.#head.method === "HEAD";
  }

  /**
   * Has the request answered.
   *
   * @returns Whether the connection can carry another one.
   * @throws {BadHeadError} If the request can't be read, and nothing was answered yet.
   */
  async run(): Promise<boolean> {
    const request = this.#readRequest();
    this.input.watch(this.#body !== null, () => this.#inputEnded());
    try {
      if (this.#over) return false;
      const response = await this.#ask(request);
      const persists = response !== null && await this.#send(response);
      if (this.#broken !== undefined && !this.#begun) throw this.#broken;
      return persists && await this.#finishBody() && !this.#over;
    } finally {
      this.#ended = true;
      this.input.unwatch();
      this.#body?.end(new Error("The request has been answered"));
    }
  }

  /**
   * The client has ended its direction. Most have left; one that hasn't gets what is at hand of an answer a turn later, and
   * all of it, but nothing that has to be waited for.
   */
  #inputEnded(): void {
    // In the middle of its body.
    if (this.#body?.done === false && this.input.available === 0) return this.#host.close();
    setImmediate(() => {
      if (!this.#ended && !this.#whole) this.#host.close();
    });
  }

  /** The client has left, or is cut. */
  left(): void {
    if (this.#over) return;
    this.#over = true;
    const reason = new DOMException("The connection has ended", "AbortError");
    this.#settle?.(null);
    this.#body?.end(reason);
    this.#answer?.cancel(reason);
    this.#abort.abort(reason);
  }

  // ---- The request ------------------------------------------------------------------------------------------------

  #readRequest(): Request {
    const { secure } = this.#host, head = this.#head;
    const url = requestUrl(head, secure, authorityOf(this.#info.localAddr));
    const isChunked = head.fields.has("transfer-encoding");
    const length = isChunked ? "chunked" : Number(head.fields.get("content-length") ?? 0);
    const { signal } = this.#abort;
    if (length === 0) return toStandardRequest(head, url, { signal });
    const body = this.#body = new RequestBody(new BodyFramer(length), this);
    // The platform's requests have no body with these methods; it is read and dropped.
    if (/^(?:get|head)$/i.test(head.method)) return toStandardRequest(head, url, { signal });
    return toStandardRequest(head, url, { signal, body: body.stream, duplex: "half" });
  }

  get #expectsContinue(): boolean {
    return this.#head.version !== "1.0" &&
      listContains(this.#head.fields.get("expect"), "100-continue");
  }

  bodyWanted(): Promise<void> | null {
    // RFC 9110 10.1.1: not needed once some of the body is there.
    if (this.#begun || this.input.available > 0 || !this.#expectsContinue) return null;
    return this.#continuing = this.#host.write(CONTINUE);
  }

  moreBody(): Promise<boolean> {
    return this.#host.more();
  }

  bodyBroken(error: unknown): void {
    if (this.#over) return;
    this.#broken ??= error;
    if (this.#begun) this.#host.close();
    else this.left();
  }

  /** Reads what is left of the body, so that the next request is found. */
  async #finishBody(): Promise<boolean> {
    const body = this.#body;
    if (body === null || body.done) return true;
    body.end(new Error("The request has been answered"));
    try {
      return await body.discard();
    } catch (error) {
      // It is too late to tell the client.
      if (error instanceof BadHeadError) return false;
      throw error;
    }
  }

  // ---- The answer -------------------------------------------------------------------------------------------------

  /** Asks the handler, which may throw, reject or never settle; `null` if the client has left before. */
  #ask(request: Request): Promise<Response | null> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      const answered = (value: unknown) => {
        if (!this.#over) resolve(this.#check(value));
        else if (value instanceof Response) cancelBody(value);
      };
      const failed = (error: unknown) => {
        if (!this.#over) resolve(internalError(error));
        else if (!this.#isClients(error)) report(error);
      };
      try {
        const result = this.#host.handler(request, this.#info);
        if (isThenable(result)) Promise.resolve(result).then(answered).catch(failed);
        else answered(result);
      } catch (error) {
        failed(error);
      }
    });
  }

  /** Whether a handler has failed with what the client did, which must not be able to fill the console. */
  #isClients(error: unknown): boolean {
    for (let cause = error, depth = 0; depth < 4; depth++) {
      if (cause === this.#broken || cause === this.#abort.signal.reason) return true;
      cause = (cause as Error | null | undefined)?.cause;
    }
    return false;
  }

  #check(value: unknown): Response {
    if (!(value instanceof Response)) {
      return internalError(new TypeError("Cannot answer with anything but a Response"));
    }
    if (value.status < 200) {
      cancelBody(value);
      return internalError(new TypeError(`Cannot answer with status ${value.status}`));
    }
    if (value.bodyUsed || value.body?.locked) {
      return internalError(new TypeError("Cannot answer with a Response whose body is in use"));
    }
    return value;
  }

  /** Writes the answer; returns whether the connection can be used further. */
  async #send(response: Response): Promise<boolean> {
    try {
      const head = new AnswerHead(this.#head, response);
      // A client that was never told to go on may send the body or not.
      if (this.#host.closing || (this.#expectsContinue && this.#body?.wanted === false)) {
        head.persists = false;
      }
      this.#answer = response.body === null ? null : new ResponseBody(response.body);
      if (head.hasContent && this.#answer !== null) await this.#sendContent(head, this.#answer);
      else await this.#sendHead(head);
      return head.persists;
    } catch (error) {
      this.#answer?.cancel(error);
      if (this.#over) return false;
      if (!this.#begun) return await this.#send(internalError(error));
      // Half an answer can't be taken back: a cut tells the client that it is none.
      report(error);
      this.#host.close();
      return false;
    }
  }

  /** Nothing was written before; a 100 that is on its way comes first. */
  async #begin(): Promise<void> {
    if (this.#continuing !== null) await this.#continuing;
    this.#begun = true;
  }

  async #sendHead(head: AnswerHead): Promise<void> {
    const length = this.isHead ? head.length ?? await this.#foresee() : 0;
    this.#answer?.cancel("Not needed");
    this.#whole = true;
    await this.#begin();
    await new AnswerWriter(this.#host, head.format("none", length), "none").write(NOTHING, true);
  }

  /** The length of an answer's content if all of it is there at once, else `null`. */
  async #foresee(): Promise<number | null> {
    const answer = this.#answer;
    if (answer === null) return 0;
    const piece = await answer.peek();
    if (piece === undefined) return null;
    if (piece.done) return 0;
    await answer.read();
    return (await answer.peek())?.done ? piece.value.length : null;
  }

  async #sendContent(head: AnswerHead, answer: ResponseBody): Promise<void> {
    let piece: Piece | undefined = await answer.peek();
    let length = head.length, ends = false, waits = piece === undefined;
    if (piece !== undefined) {
      piece = await answer.read();
      ends = !piece.done && (await answer.peek())?.done === true;
      this.#whole = piece.done || ends;
      // What is there counts, not what was announced: the client would take the next answer for the rest.
      if (this.#whole) length = piece.done ? 0 : piece.value.length;
      else waits = piece.value?.length === 0;
    }
    if (this.#over) throw this.#abort.signal.reason;
    const framing: Framing = length === null ? head.openEnded : "length";
    await this.#begin();
    const writer = new AnswerWriter(this.#host, head.format(framing, length), framing);
    let left = length ?? Infinity;
    const empty = new EmptyPieces();
    // The head of an answer whose content takes its time.
    if (waits) await writer.write(NOTHING, false);
    for (;;) {
      piece ??= await answer.read();
      if (this.#over) throw this.#abort.signal.reason;
      if (piece.done) break;
      const { value } = piece;
      if (value.length > left) {
        await writer.write(value.subarray(0, left), true);
        throw new RangeError(`Cannot answer with more than the Content-Length of ${length}`);
      }
      left -= value.length;
      if (value.length > 0 || ends) await writer.write(value, ends);
      if (ends) break;
      const rest = empty.note(value.length);
      if (rest !== null) await rest;
      piece = undefined;
    }
    if (left > 0 && left < Infinity) {
      throw new RangeError(`Cannot answer with less than the Content-Length of ${length}`);
    }
    if (!ends) await writer.write(NOTHING, true);
  }
}

/** The authority that a client has reached us by, if it doesn't say. */
function authorityOf(address: Deno.Addr): string {
  if (!("hostname" in address)) return "localhost";
  const { hostname, port } = address;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** The answer in place of a handler's that has failed. */
function internalError(error: unknown): Response {
  report(error);
  return new Response("Internal Server Error", { status: 500 });
}

function report(error: unknown): void {
  console.error("A handler of ordinary HTTP has failed:", error);
}
