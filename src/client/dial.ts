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
import { ClientHandshakeResult } from "../engine/handshake_result.ts";
import { ClientHandshake } from "../handshake/client_handshake.ts";
import { type Extension, formatExtensions } from "../handshake/extension_list.ts";
import { RefusalBody } from "../handshake/refusal_body.ts";
import { OpeningStream } from "../transport/opening_stream.ts";
import { closeQuietly, readHead, readUntil, writeAll } from "../transport/stream_io.ts";
import { CallbackTimer } from "../util/timers.ts";
import { startTlsClient } from "../transport/tls_client.ts";
import { TlsError } from "../transport/tls_errors.ts";
import type { Transport } from "../transport/transport.ts";

/** An attempt to connect: what is open is closed when it fails, is cancelled or takes too long. */
export class Dial {
  readonly #engine: Engine;
  readonly #settings: ConnectSettings;
  readonly #abort = new AbortController();
  readonly #alarm = new CallbackTimer(() => this.#cancel(this.#timedOut(), true));
  readonly #aborted = (): void => {
    const { reason } = this.#settings.signal!;
    this.#cancel(abortError("The attempt to connect was aborted", reason), false);
  };
  readonly #handshake: ClientHandshake;
  #raw: Transport | null = null;
  #stream: OpeningStream | null = null; // over which the handshake goes
  #phase = "connecting";
  #unsent: unknown; // why the request didn't go out
  #refusal: RefusalBody | null = null; // what is being read of the body of a refusal

  /** @throws {TypeError} If something of the handshake can't be sent. */
  constructor(engine: Engine, settings: ConnectSettings) {
    this.#engine = engine;
    this.#settings = settings;
    const { protocols, headers, connection: { compression } } = settings;
    const extensions = compression === null
      ? settings.extensions
      : [...settings.extensions, makeOffer(compression)];
    this.#handshake = new ClientHandshake(settings.target, { protocols, extensions, headers });
  }

  /** Shakes hands on a stream that is open, in place of one that is yet to be opened. */
  useTransport(transport: Transport): void {
    this.#raw = transport;
  }

  /** Connects, and opens the engine or abandons it. */
  async run(): Promise<void> {
    const { connectTimeout, signal } = this.#settings;
    const engine = this.#engine, { timers } = engine.owner;
    engine.cancel = () => this.#close();
    timers.set(this.#alarm, connectTimeout);
    signal?.addEventListener("abort", this.#aborted, { once: true });
    try {
      await this.#connect();
      this.#unwatch();
    } catch (error) {
      this.#close();
      engine.abandon(error, true);
    }
  }

  /** Also of an attempt that is over while something it waits for never settles. */
  #unwatch(): void {
    this.#engine.owner.timers.clear(this.#alarm);
    this.#settings.signal?.removeEventListener("abort", this.#aborted);
  }

  async #connect(): Promise<void> {
    if (this.#raw !== null) return await this.#shakeHands(this.#raw);
    const { target, tls } = this.#settings;
    let transport = this.#own(await this.#reach());
    if (target.secure) {
      this.#phase = "negotiating TLS";
      transport = this.#own(await startTlsClient(transport, target.hostname, tls));
    }
    await this.#shakeHands(transport);
  }

  /** Opens a stream to the target: over a Unix socket, through a proxy, or straight. */
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
    if (!handshake.accepted) throw handshake.refused(await this.#readBody(stream, early));
    const { protocol, extensions, headers } = handshake.finish();
    const codecs = this.#agreeOnCompression(extensions, headers);
    if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
    this.#raw = null;
    const { href } = this.#settings.target;
    this.#engine.open(
      transport,
      new ClientHandshakeResult(href, protocol, formatExtensions(extensions), headers, codecs),
      early,
    );
  }

  /** Sends the request and reads the head of the answer; resolves with what follows it, `null` if there is none. */
  async #ask(stream: OpeningStream): Promise<Uint8Array | null> {
    const handshake = this.#handshake;
    try {
      await writeAll(stream, handshake.request);
    } catch (error) {
      // A server that refuses may have closed before it had all of the request; its answer may be there.
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
      throw new HandshakeError(`Cannot open ${target.href}: ${message}`, { status: 101, headers });
    }
  }

  async #readBody(stream: OpeningStream, early: Uint8Array): Promise<Uint8Array> {
    const body = this.#refusal = new RefusalBody(this.#handshake.head!);
    await readUntil(stream, early, (bytes) => body.push(bytes));
    return body.bytes;
  }

  /** Takes charge of a stream; closes it at once if the attempt is over already. */
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
    // A caller that awaits `opened` may abort before `run` has let go of the signal; what is open stays open.
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
    if (raw !== null) closeQuietly(raw);
  }
}
