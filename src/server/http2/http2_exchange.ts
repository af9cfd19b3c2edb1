import type { ServerHttp2Stream } from "node:http2";
import { http2Fields } from "../../handshake/http2_fields.ts";
import type { RequestHead } from "../../handshake/request_head.ts";
import { requestUrl, toStandardRequest } from "../../handshake/standard_request.ts";
import { listContains } from "../../handshake/token_list.ts";
import type { Http2StreamTransport } from "../../transport/http2_stream.ts";
import { checkTaken } from "../../transport/stream_io.ts";
import { callForeign } from "../../util/foreign.ts";
import type { Member } from "../../util/member_list.ts";
import { Timer, type Timers } from "../../util/timers.ts";
import { AnswerHead } from "../http/answer_head.ts";
import { type AnswerHost, AnswerSender, type ContentWriter } from "../http/answer_sender.ts";
import { HandlerCall, internalError, isCausedBy, reportHandler } from "../http/handler_call.ts";
import { authorityOf } from "../http/http_exchange.ts";
import { ResponseBody } from "../http/response_body.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";

/** The most bytes of a body that one read returns. */
const READ = 16 * 1024;

/** A request over HTTP/2. */
export interface Http2Request {
  readonly stream: ServerHttp2Stream;
  readonly transport: Http2StreamTransport;
  readonly head: RequestHead;
  /** Whether a body follows. */
  readonly hasBody: boolean;
  /** Whether the connection uses TLS. */
  readonly secure: boolean;
  /** The client. */
  readonly info: PeerInfo;
}

/** What an exchange needs from its listener. */
export interface Http2ExchangeHost {
  readonly handler: HttpHandler;
  readonly timers: Timers;
  /** The longest wait for the client, in ms. */
  readonly idleTimeout: number;
}

/** One request over HTTP/2, and the response of the application's handler. */
export class Http2Exchange extends Timer implements AnswerHost, Member {
  slot = -1;
  readonly #request: Http2Request;
  readonly #host: Http2ExchangeHost;
  readonly #abort = new AbortController();
  readonly #call: HandlerCall;
  #body: ReadableStreamDefaultController<Uint8Array> | null = null;
  #answer: ResponseBody | null = null;
  #head!: AnswerHead;
  #status = 0;
  #begun = false; // the head of the response was sent
  #over = false; // the client has left
  #waits = 0;

  /** @param offer The WebSocket that the client requests, if the handler decides about it. */
  constructor(request: Http2Request, host: Http2ExchangeHost, offer: UpgradeOffer | null) {
    super();
    this.#request = request;
    this.#host = host;
    const isClients = (error: unknown) => isCausedBy(error, [this.#abort.signal.reason]);
    this.#call = new HandlerCall(host.handler, offer, isClients);
    request.stream.once("aborted", () => this.#left());
    request.stream.once("close", () => this.#left());
  }

  /**
   * Calls the handler, and sends its response.
   *
   * @returns Whether the stream now belongs to a WebSocket; if not, it has ended.
   * @throws {BadHeadError} If host and path don't form a URL.
   */
  async run(): Promise<boolean> {
    const { transport, info } = this.#request;
    const request = this.#standardRequest();
    const response = await this.#call.run(request, info);
    if (response === null && !this.#over) {
      this.#finish();
      return true;
    }
    if (response !== null) await this.#send(response);
    const reason = new Error("The request has been answered");
    this.#finish();
    this.#endBody(reason);
    // The rest of the request isn't needed (RFC 9113 8.1).
    transport.close();
    return false;
  }

  /** Ends the exchange at once, with a reset. */
  cut(): void {
    this.#request.transport.cut();
    this.#left();
  }

  /** The client has kept us waiting for too long. */
  override fire(): void {
    this.cut();
  }

  #left(): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.timers.clear(this);
    const reason = new DOMException("The stream has ended", "AbortError");
    this.#call.left();
    this.#endBody(reason);
    this.#answer?.cancel(reason);
    this.#abort.abort(reason);
  }

  /** From now on events of the stream don't concern the request. */
  #finish(): void {
    this.#over = true;
    this.#host.timers.clear(this);
  }

  // ---- The request ------------------------------------------------------------------------------------------------

  #standardRequest(): Request {
    const { head, secure, info, hasBody, stream } = this.#request, { signal } = this.#abort;
    const url = requestUrl(head, secure, authorityOf(info.localAddr));
    if (!hasBody) return toStandardRequest(head, url, { signal });
    // A `Request` with one of these methods has no body, so the body is read and dropped.
    if (/^(?:get|head)$/i.test(head.method)) {
      if (!head.fields.has("upgrade")) stream.resume();
      return toStandardRequest(head, url, { signal });
    }
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => void (this.#body = controller),
      pull: () => this.#pull(),
      cancel: () => void (this.#body = null),
    }, { highWaterMark: 0 });
    return toStandardRequest(head, url, { signal, body, duplex: "half" });
  }

  async #pull(): Promise<void> {
    const { stream, head, transport } = this.#request;
    try {
      if (!this.#begun && stream.readableLength === 0 && expectsContinue(head)) {
        stream.additionalHeaders({ ":status": 100 });
      }
      const buffer = new Uint8Array(READ);
      const count = await this.#client(() => transport.read(buffer));
      if (this.#body === null) return;
      if (count !== null) return this.#body.enqueue(buffer.subarray(0, count));
      this.#body.close();
      this.#body = null;
    } catch (error) {
      this.#endBody(error);
    }
  }

  #endBody(reason: unknown): void {
    const body = this.#body;
    this.#body = null;
    if (body !== null) callForeign(() => body.error(reason), () => {});
  }

  /** Waits for the client, at most for `idleTimeout`. */
  async #client<T>(wait: () => Promise<T>): Promise<T> {
    const { timers, idleTimeout } = this.#host;
    this.#waits++;
    timers.set(this, idleTimeout);
    try {
      return await wait();
    } finally {
      if (--this.#waits > 0) timers.set(this, idleTimeout);
      else timers.clear(this);
    }
  }

  // ---- The answer -------------------------------------------------------------------------------------------------

  async #send(response: Response): Promise<void> {
    const { head, stream } = this.#request;
    try {
      this.#head = new AnswerHead(head, response);
      this.#status = response.status;
      this.#answer = response.body === null ? null : new ResponseBody(response.body);
      await new AnswerSender(this, this.#head, this.#answer).send();
    } catch (error) {
      this.#answer?.cancel(error);
      if (this.#over) return;
      if (!this.#begun) return await this.#send(internalError(error));
      // The head was sent, so only a reset tells the client that the response is incomplete.
      reportHandler(error);
      stream.destroy(new Error("The response has failed"));
    }
  }

  whole(): void {}

  begin(): Promise<void> {
    return Promise.resolve();
  }

  check(): void {
    if (this.#over) throw this.#abort.signal.reason;
  }

  writer(_framing: string, length: number | null): ContentWriter {
    const { transport } = this.#request;
    return {
      write: async (data, last) => {
        if (!this.#begun) {
          this.#respond(length, last && data.length === 0);
          if (last && data.length === 0) return;
        }
        await this.#write(data);
        if (last) await this.#client(() => transport.closeWrite());
      },
    };
  }

  #respond(length: number | null, ends: boolean): void {
    const { stream } = this.#request;
    const fields = http2Fields({ ":status": this.#status }, this.#head.fieldsWith(length));
    stream.respond(fields, { endStream: ends });
    this.#begun = true;
  }

  async #write(data: Uint8Array): Promise<void> {
    const { transport } = this.#request;
    for (let at = 0; at < data.length;) {
      const rest = at === 0 ? data : data.subarray(at);
      at += checkTaken(await this.#client(() => transport.write(rest)));
    }
  }
}

function expectsContinue({ fields }: RequestHead): boolean {
  return listContains(fields.get("expect"), "100-continue");
}
