import { setImmediate } from "node:timers";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { BodyFramer } from "../../handshake/body_framer.ts";
import type { RequestHead } from "../../handshake/request_head.ts";
import { CONTINUE } from "../../handshake/server_response.ts";
import { requestUrl, toStandardRequest } from "../../handshake/standard_request.ts";
import { listContains } from "../../handshake/token_list.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";
import { AnswerHead } from "./answer_head.ts";
import { type AnswerHost, AnswerSender } from "./answer_sender.ts";
import { AnswerWriter } from "./answer_writer.ts";
import { HandlerCall, internalError, isCausedBy, reportHandler } from "./handler_call.ts";
import type { HttpInput } from "./http_input.ts";
import { type BodyHost, RequestBody } from "./request_body.ts";
import { ResponseBody } from "./response_body.ts";

/** The state of a connection after an exchange. */
export type Outcome = "persists" | "ends" | "upgraded";

/** What an exchange needs from its connection. */
export interface ExchangeHost {
  readonly input: HttpInput;
  readonly secure: boolean;
  readonly handler: HttpHandler;
  /** Whether no further request will be served. */
  readonly closing: boolean;
  /** Waits for bytes from the client; resolves with `false` at the end of its direction. */
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
  #begun = false; // a part of the answer was written
  #whole = false; // the whole answer is available
  #ended = false; // the exchange has ended
  #over = false; // the client has left, or was cut off
  #broken: unknown;
  #continuing: Promise<void> | null = null;
  readonly #call: HandlerCall;

  /**
   * @param info The client that has sent the request.
   * @param offer The WebSocket that the request asks for, if the handler decides about it.
   */
  constructor(
    host: ExchangeHost,
    head: RequestHead,
    info: PeerInfo,
    offer: UpgradeOffer | null,
  ) {
    this.input = host.input;
    this.#host = host;
    this.#head = head;
    this.#info = info;
    this.#call = new HandlerCall(host.handler, offer, (error) => {
      return isCausedBy(error, [this.#broken, this.#abort.signal.reason]);
    });
  }

  /** Whether the request is a HEAD. */
  get isHead(): boolean {
    return this.#head.method === "HEAD";
  }

  /**
   * Answers the request.
   *
   * @returns Whether the connection can carry another request, ends, or now belongs to a WebSocket.
   * @throws {BadHeadError} If the request can't be read, and no part of an answer was written.
   */
  async run(): Promise<Outcome> {
    const request = this.#readRequest();
    this.input.watch(this.#body !== null, () => this.#inputEnded());
    try {
      if (this.#over) return "ends";
      const response = await this.#call.run(request, this.#info);
      if (response === null && !this.#over) return "upgraded";
      const persists = response !== null && await this.#send(response);
      if (this.#broken !== undefined && !this.#begun) throw this.#broken;
      return persists && await this.#finishBody() && !this.#over ? "persists" : "ends";
    } finally {
      this.#ended = true;
      this.input.unwatch();
      this.#body?.end(new Error("The request has been answered"));
    }
  }

  /**
   * The client has ended its direction, and most likely left. It still gets an answer that is completely available in the
   * next turn, but no other.
   */
  #inputEnded(): void {
    // The end is in the middle of the request's body.
    if (this.#body?.done === false && this.input.available === 0) return this.#host.close();
    setImmediate(() => {
      if (!this.#ended && !this.#whole) this.#host.close();
    });
  }

  /** The client has left, or is cut off. */
  left(): void {
    if (this.#over) return;
    this.#over = true;
    const reason = new DOMException("The connection has ended", "AbortError");
    this.#call.left();
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
    // A `Request` can't have a body with these methods, so it is read and dropped.
    if (/^(?:get|head)$/i.test(head.method)) return toStandardRequest(head, url, { signal });
    return toStandardRequest(head, url, { signal, body: body.stream, duplex: "half" });
  }

  get #expectsContinue(): boolean {
    return this.#head.version !== "1.0" &&
      listContains(this.#head.fields.get("expect"), "100-continue");
  }

  bodyWanted(): Promise<void> | null {
    // Not needed once a part of the body has come (RFC 9110 10.1.1).
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

  /** Reads the rest of the body, so that the next request is found. */
  async #finishBody(): Promise<boolean> {
    const body = this.#body;
    if (body === null || body.done) return true;
    body.end(new Error("The request has been answered"));
    try {
      return await body.discard();
    } catch (error) {
      // The request has been answered already.
      if (error instanceof BadHeadError) return false;
      throw error;
    }
  }

  // ---- The answer -------------------------------------------------------------------------------------------------

  /** Writes the answer; returns whether the connection can be used further. */
  async #send(response: Response): Promise<boolean> {
    try {
      const head = new AnswerHead(this.#head, response);
      // A client that got no 100 may or may not send the body.
      if (this.#host.closing || (this.#expectsContinue && this.#body?.wanted === false)) {
        head.persists = false;
      }
      this.#answer = response.body === null ? null : new ResponseBody(response.body);
      await new AnswerSender(this.#answerHost(head), head, this.#answer).send();
      return head.persists;
    } catch (error) {
      this.#answer?.cancel(error);
      if (this.#over) return false;
      if (!this.#begun) return await this.#send(internalError(error));
      // A part of the answer is written; cutting the connection shows the client that it is incomplete.
      reportHandler(error);
      this.#host.close();
      return false;
    }
  }

  #answerHost(head: AnswerHead): AnswerHost {
    return {
      whole: () => void (this.#whole = true),
      // A 100 that is being written has to be complete.
      begin: async () => {
        if (this.#continuing !== null) await this.#continuing;
        this.#begun = true;
      },
      check: () => {
        if (this.#over) throw this.#abort.signal.reason;
      },
      writer: (framing, length) => {
        return new AnswerWriter(this.#host, head.format(framing, length), framing);
      },
    };
  }
}

/** The authority of our address, for a client that doesn't name one. */
export function authorityOf(address: Deno.Addr): string {
  if (!("hostname" in address)) return "localhost";
  const { hostname, port } = address;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
