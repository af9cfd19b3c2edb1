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

/** What becomes of a connection after an exchange. */
export type Outcome = "persists" | "ends" | "upgraded";

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
  readonly #call: HandlerCall;

  /**
   * @param info The client that has sent it.
   * @param offer The WebSocket that it asks for, if the handler decides about that.
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

  /** Whether it was a HEAD. */
  get isHead(): boolean {
    return this.#head.method === "HEAD";
  }

  /**
   * Has the request answered.
   *
   * @returns What becomes of the connection: whether it can carry another request, or is a WebSocket's now.
   * @throws {BadHeadError} If the request can't be read, and nothing was answered yet.
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

  /** Writes the answer; returns whether the connection can be used further. */
  async #send(response: Response): Promise<boolean> {
    try {
      const head = new AnswerHead(this.#head, response);
      // A client that was never told to go on may send the body or not.
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
      // Half an answer can't be taken back: a cut tells the client that it is none.
      reportHandler(error);
      this.#host.close();
      return false;
    }
  }

  #answerHost(head: AnswerHead): AnswerHost {
    return {
      whole: () => void (this.#whole = true),
      // Nothing was written before; a 100 that is on its way comes first.
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

/** The authority that a client has reached us by, if it doesn't say. */
export function authorityOf(address: Deno.Addr): string {
  if (!("hostname" in address)) return "localhost";
  const { hostname, port } = address;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
