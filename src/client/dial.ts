import type { ConnectSettings } from "./connect_options.ts";
import { dialProxy } from "./proxy/dial_proxy.ts";
import { proxyFromEnvironment } from "./proxy/environment.ts";
import { dialTcp } from "./tcp.ts";
import type { Engine } from "../engine/engine.ts";
import {
  acceptAnswer,
  type CodecSettings,
  codecSettings,
  makeOffer,
} from "../deflate/negotiation.ts";
import { abortError, HandshakeError, TimeoutError } from "../errors.ts";
import { ClientHandshakeResult, type HttpVersion } from "../engine/handshake_result.ts";
import { ClientHandshake } from "../handshake/client_handshake.ts";
import { type Extension, formatExtensions } from "../handshake/extension_list.ts";
import { RefusalBody } from "../handshake/refusal_body.ts";
import { OpeningStream } from "../transport/opening_stream.ts";
import { cutQuietly, readHead, readUntil, writeAll } from "../transport/stream_io.ts";
import { NOTHING } from "../util/bytes.ts";
import { CallbackTimer } from "../util/timers.ts";
import { Http2StreamTransport } from "../transport/http2_stream.ts";
import { startTlsClient } from "../transport/tls_client.ts";
import { TlsError } from "../transport/tls_errors.ts";
import type { TlsTransport } from "../transport/tls_stream.ts";
import { answerOf, ClientSession, wasRefused } from "./http2/client_session.ts";
import type { SessionPool } from "./http2/session_pool.ts";
import type { Transport } from "../transport/transport.ts";

/** An attempt to connect. If it fails, is cancelled or takes too long, everything that it has opened is closed. */
export class Dial {
  readonly #engine: Engine;
  readonly #settings: ConnectSettings;
  readonly #abort = new AbortController();
  readonly #timer = new CallbackTimer(() => this.#cancel(this.#timedOut(), true));
  readonly #aborted = (): void => {
    const { reason } = this.#settings.signal!;
    this.#cancel(abortError("The attempt to connect was aborted", reason), false);
  };
  readonly #handshake: ClientHandshake;
  readonly #pool: SessionPool | null;
  #raw: Transport | null = null;
  #stream: OpeningStream | null = null; // the stream during the handshake
  #phase = "connecting";
  #unsent: unknown; // the error of writing the request
  #refusal: RefusalBody | null = null; // the body of a refusal, while it is read

  /**
   * @param pool The HTTP/2 sessions to share, if `http2` is set.
   * @throws {TypeError} If a part of the handshake can't be sent.
   */
  constructor(engine: Engine, settings: ConnectSettings, pool: SessionPool | null = null) {
    this.#engine = engine;
    this.#settings = settings;
    this.#pool = settings.http2 ? pool : null;
    const { protocols, headers, connection: { compression } } = settings;
    const extensions = compression === null
      ? settings.extensions
      : [...settings.extensions, makeOffer(compression)];
    this.#handshake = new ClientHandshake(settings.target, { protocols, extensions, headers });
  }

  /** Uses a stream that is open already. */
  useTransport(transport: Transport): void {
    this.#raw = transport;
  }

  /** Connects, and opens the engine or abandons it. */
  async run(): Promise<void> {
    const { connectTimeout, signal } = this.#settings;
    const engine = this.#engine, { timers } = engine.owner;
    engine.cancel = () => this.#close();
    timers.set(this.#timer, connectTimeout);
    signal?.addEventListener("abort", this.#aborted, { once: true });
    try {
      await this.#connect();
      this.#unwatch();
    } catch (error) {
      this.#close();
      engine.abandon(error, true);
    }
  }

  /** Removes the timer and the listener, also if a promise that the attempt awaits never settles. */
  #unwatch(): void {
    this.#engine.owner.timers.clear(this.#timer);
    this.#settings.signal?.removeEventListener("abort", this.#aborted);
  }

  async #connect(): Promise<void> {
    if (this.#raw === null && this.#pool !== null && await this.#joinSession(this.#pool)) return;
    await this.#shakeHands(this.#raw ?? await this.#open(["http/1.1"]));
  }

  /** Opens a stream to the target, with TLS for `wss:`. */
  async #open(protocols: string[]): Promise<Transport> {
    const { target, tls } = this.#settings;
    const transport = this.#own(await this.#reach());
    if (!target.secure) return transport;
    this.#phase = "negotiating TLS";
    return this.#own(await startTlsClient(transport, target.hostname, tls, protocols));
  }

  /**
   * Becomes a stream of an HTTP/2 session.
   *
   * @returns Whether the server accepts that. If not, an HTTP/1.1 connection to it may be open already.
   */
  async #joinSession(pool: SessionPool): Promise<boolean> {
    for (let attempt = 0;; attempt++) {
      this.#phase = "waiting for an HTTP/2 connection";
      const taken = await pool.take(
        this.#settings,
        () => this.#openSession(),
        (session) => {
          this.#abort.signal.throwIfAborted();
          const stream = session.request(this.#handshake.http2Fields);
          return { stream, transport: new Http2StreamTransport(stream, session.link) };
        },
      );
      if (taken === null) return false;
      const { stream } = taken, transport = this.#own(taken.transport);
      this.#phase = "waiting for the answer to the handshake";
      try {
        this.#handshake.takeHttp2(await answerOf(stream));
      } catch (error) {
        if (attempt < 2 && wasRefused(stream)) continue;
        throw error;
      }
      await this.#finish(transport, this.#stream = new OpeningStream(transport), NOTHING, "2");
      return true;
    }
  }

  async #openSession(): Promise<ClientSession | null> {
    const transport = await this.#open(["h2", "http/1.1"]) as TlsTransport;
    if (transport.alpnProtocol !== "h2") return null;
    this.#phase = "waiting for the settings of HTTP/2";
    const session = new ClientSession(transport, this.#settings.target.href.replace(/^ws/, "http"));
    const accepts = await session.ready();
    // The session now owns the connection, or it has ended.
    this.#raw = null;
    return accepts ? session : null;
  }

  /** Opens a stream to the target: by a Unix socket, through a proxy, or directly. */
  async #reach(): Promise<Transport> {
    const { target: { secure }, tls, address, sockets } = this.#settings;
    const { signal } = this.#abort;
    if (typeof address === "string") return await sockets.connectUnix(address, signal);
    const { hostname, port } = address;
    let { proxy } = this.#settings;
    if (proxy === undefined) proxy = proxyFromEnvironment(secure, hostname, port) ?? null;
    if (proxy === null) return await dialTcp({ sockets, hostname, port, signal });
    this.#phase = "connecting through the proxy";
    return await dialProxy(proxy, { sockets, hostname, port, signal, caCerts: tls.caCerts });
  }

  async #shakeHands(transport: Transport): Promise<void> {
    this.#phase = "waiting for the answer to the handshake";
    const handshake = this.#handshake;
    const stream = this.#stream = new OpeningStream(transport);
    let early: Uint8Array | null;
    try {
      early = await this.#ask(stream);
    } catch (error) {
      // With TLS 1.3 a server refuses a client's certificate, or the lack of one, after the client's handshake.
      if (error instanceof TlsError) throw this.#tlsRefused(error);
      throw error;
    }
    if (early === null) throw handshake.refused();
    await this.#finish(transport, stream, early, "1.1");
  }

  /** The head of the answer is complete: opens the connection, or throws. */
  async #finish(
    transport: Transport,
    stream: OpeningStream,
    early: Uint8Array,
    version: HttpVersion,
  ): Promise<void> {
    const handshake = this.#handshake;
    if (!handshake.accepted) throw handshake.refused(await this.#readBody(stream, early));
    const { protocol, extensions, headers } = handshake.finish();
    const codecs = this.#agreeOnCompression(extensions, headers);
    if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
    this.#raw = null;
    const { href } = this.#settings.target;
    this.#engine.open(
      transport,
      new ClientHandshakeResult(
        href,
        protocol,
        formatExtensions(extensions),
        headers,
        codecs,
        version,
      ),
      early,
    );
  }

  /** Sends the request and reads the head of the answer. Resolves with the bytes after it; `null` without an answer. */
  async #ask(stream: OpeningStream): Promise<Uint8Array | null> {
    const handshake = this.#handshake;
    try {
      await writeAll(stream, handshake.request);
    } catch (error) {
      // A server that refuses may close before it has read the whole request. Its answer may still be readable.
      this.#unsent = error;
    }
    const unsent = this.#unsent;
    try {
      const early = await readHead(stream, (bytes) => handshake.push(bytes));
      if (early === null && unsent !== undefined) throw unsent;
      return early;
    } catch (error) {
      const said = error instanceof TlsError || error instanceof HandshakeError;
      throw said ? error : unsent ?? error;
    }
  }

  #tlsRefused(cause: TlsError): HandshakeError {
    const { hostname } = this.#settings.target;
    return new HandshakeError(`Cannot connect to ${hostname} over TLS: ${cause.reason}`, { cause });
  }

  #agreeOnCompression(answer: Extension[], headers: Headers): CodecSettings | null {
    const { connection: { compression }, target } = this.#settings;
    if (compression === null) return null;
    try {
      const accepted = acceptAnswer(answer, compression);
      return accepted && codecSettings(accepted.agreement, "client", compression);
    } catch (cause) {
      const { message } = cause as Error;
      const { status } = this.#handshake.head!;
      throw new HandshakeError(`Cannot open ${target.href}: ${message}`, { status, headers });
    }
  }

  async #readBody(stream: OpeningStream, early: Uint8Array): Promise<Uint8Array> {
    const body = this.#refusal = new RefusalBody(this.#handshake.head!);
    await readUntil(stream, early, (bytes) => body.push(bytes));
    return body.bytes;
  }

  /** Takes over a stream; closes it at once if the attempt is over already. */
  #own<T extends Transport>(transport: T): T {
    this.#raw = transport;
    if (this.#abort.signal.aborted) {
      this.#close();
      throw this.#abort.signal.reason;
    }
    return transport;
  }

  #timedOut(): Error {
    // A refusal says more than a timeout, even one whose body never ends.
    if (this.#refusal !== null) return this.#handshake.refused(this.#refusal.bytes);
    const { target: { href }, connectTimeout } = this.#settings;
    return new TimeoutError(
      `Cannot connect to ${href}: timed out after ${connectTimeout} ms while ${this.#phase}`,
      { cause: this.#unsent },
    );
  }

  #cancel(error: unknown, reported: boolean): void {
    // A caller that awaits `opened` may abort before `run` has removed the listener. An open connection stays open.
    if (this.#engine.state !== "connecting") return;
    this.#engine.abandon(error, reported);
    this.#close();
  }

  #close(): void {
    this.#unwatch();
    this.#abort.abort();
    this.#stream?.leave();
    const raw = this.#raw;
    this.#raw = null;
    if (raw !== null) cutQuietly(raw);
  }
}
