import type { ConnectionOptions } from "../connection_options.ts";
import type { Registry } from "../context/registry.ts";
import type { Engine } from "../engine/engine.ts";
import { abortError, HandshakeError, TimeoutError } from "../errors.ts";
import type { Fields } from "../handshake/fields.ts";
import { checkHeaders, type Field, isHandshakeField } from "../handshake/headers_option.ts";
import type { OriginRule } from "../handshake/origin.ts";
import { CallbackTimer } from "../util/timers.ts";
import type { ListenSettings } from "./listen_options.ts";
import type { PeerInfo } from "./peer_info.ts";

/** The handler's options for an upgrade; the listener's options apply to the rest. */
export interface UpgradeTerms {
  /** The new connection, in state `"connecting"`. */
  readonly engine: Engine;
  readonly protocols: readonly string[] | undefined;
  readonly selectProtocol: ListenSettings<unknown>["selectProtocol"];
  readonly origins: OriginRule | undefined;
  /** How long the handler may take from now on to answer, in ms. */
  readonly timeout: number;
}

/** The listener whose handler decides. */
export interface OfferHost {
  /** The connections of its context. */
  readonly context: Registry;
  /** Its own connections. */
  readonly registry: Registry;
  /** The options of its connections, the defaults of an upgrade's options. */
  readonly options: ConnectionOptions;
  /** A request didn't become a connection. */
  refused(error: HandshakeError, offer: UpgradeOffer): void;
}

/** A valid handshake whose request the handler gets, and may accept by `upgrade`. */
export class UpgradeOffer {
  readonly host: OfferHost;
  /** The client that has sent it. */
  readonly info: PeerInfo;
  /** The time of the request, by `performance.now()`. */
  readonly since: number = performance.now();
  /** The fields of the request. */
  readonly fields: Fields;
  readonly #key: string;
  readonly #timer = new CallbackTimer(() => this.#timedOut());
  #terms: UpgradeTerms | null = null;
  #headers: readonly Field[] = [];
  #over = false;
  #expire: ((answer: Response) => void) | null = null;

  constructor(host: OfferHost, info: PeerInfo, fields: Fields, key: string) {
    this.host = host;
    this.info = info;
    this.fields = fields;
    this.#key = key;
  }

  /** The new connection; `null` if the handler hasn't accepted. */
  get engine(): Engine | null {
    return this.#terms === null ? null : this.#terms.engine;
  }

  /**
   * The handler is about to get the request.
   *
   * @param expire Called with the response to send if the handler takes too long.
   */
  open(request: Request, expire: (answer: Response) => void): void {
    this.#expire = expire;
    offers.set(request, this);
    pending.set(this.#key, this);
  }

  /** @throws {TypeError} If the request was upgraded before, or has been answered. */
  check(): void {
    if (this.#over) throw new TypeError("Cannot upgrade a request that has been answered");
    if (this.#terms !== null) throw new TypeError("Cannot upgrade a request twice");
  }

  /** Accepts the offer. The handler still has to answer with the 101. */
  take(terms: UpgradeTerms): void {
    this.#terms = terms;
    const { engine, timeout } = terms, { registry } = this.host;
    engine.since = this.since;
    registry.connecting.add(engine);
    registry.timers.set(this.#timer, timeout);
  }

  /**
   * The handler has answered.
   *
   * @returns The response for the client; `null` if it gets its WebSocket.
   */
  answered(response: Response): Response | null {
    const { engine } = this;
    if (response.status !== 101 || engine === null) {
      this.#refused(response);
      return response;
    }
    this.#close();
    if (engine.state !== "connecting") {
      return new Response("The handshake was cancelled", { status: 503 });
    }
    this.#headers = checkHeaders(response.headers, null).filter(([name]) =>
      !isHandshakeField(name)
    );
    return null;
  }

  /** The settings of the handshake: the listener's, overridden by those of the upgrade. */
  settings<Data>(settings: ListenSettings<Data>): ListenSettings<Data> {
    const { engine, protocols, selectProtocol, origins } = this.#terms!;
    const chooses = protocols !== undefined || selectProtocol !== undefined;
    return {
      ...settings,
      connection: engine.settings,
      protocols: chooses ? protocols ?? [] : settings.protocols,
      selectProtocol: chooses ? selectProtocol : settings.selectProtocol,
      origins: origins ?? settings.origins,
      headers: [...settings.headers, ...this.#headers],
    };
  }

  /** The client has disconnected before the response. */
  left(): void {
    if (this.#over) return;
    this.#close();
    this.engine?.abandon(abortError("The client disconnected before the response"), true);
  }

  /** There will be no connection. */
  failed(error: unknown): void {
    this.#close();
    this.engine?.abandon(error, true);
  }

  #refused({ status, headers }: Response): void {
    if (this.#over) return;
    const message = `The handler has refused a handshake with ${status}`;
    const error = new HandshakeError(message, { status, headers: new Headers(headers) });
    this.failed(error);
    this.host.refused(error, this);
  }

  #timedOut(): void {
    const { timeout } = this.#terms!;
    const message = `The handler didn't answer within ${timeout} ms of the upgrade`;
    this.failed(new TimeoutError(message));
    this.#expire?.(new Response(message, { status: 503 }));
  }

  #close(): void {
    this.#over = true;
    this.host.registry.timers.clear(this.#timer);
    if (pending.get(this.#key) === this) pending.delete(this.#key);
  }
}

/** Offers by the request that a handler has got. */
const offers = new WeakMap<Request, UpgradeOffer>();
/** Unanswered offers by their keys, which copies of a request have, too. */
const pending = new Map<string, UpgradeOffer>();

/**
 * Returns the offer of a request.
 *
 * @param context The connections of the context that upgrades it.
 * @returns The offer; `null` if the request doesn't come from a listener's handler.
 * @throws {TypeError} If it is a copy of such a request, or of another context's listener.
 */
export function offerOf(request: Request, context: Registry): UpgradeOffer | null {
  const offer = offers.get(request);
  if (offer === undefined) {
    const key = request.headers.get("sec-websocket-key");
    if (key === null || !pending.has(key)) return null;
    throw new TypeError("Cannot upgrade a copy of a request: use the one that the handler got");
  }
  if (offer.host.context !== context) {
    throw new TypeError("Cannot upgrade a request of another context's listener");
  }
  offer.check();
  return offer;
}
