import type { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";

/** Marks the listener that an `on…` attribute has set. */
const ATTRIBUTE = Symbol("attribute");
/** The handler that a listener calls. */
const HANDLER = Symbol("handler");

/**
 * Emits an event. An error that a listener throws is reported as uncaught, and so is an `error` event without listeners.
 *
 * @returns Whether the event had listeners.
 */
export function emit(emitter: EventEmitter, event: string, ...args: unknown[]): boolean {
  let taken = false;
  run(() => taken = emitter.emit(event, ...args));
  return taken;
}

/** Calls code of the application, and reports what it throws as uncaught. */
export function run(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    reportError(error);
  }
}

/**
 * A listener in the form of the DOM's `addEventListener`.
 *
 * @see {@linkcode WebSocket}
 */
export type Handler = ((event: Event) => void) | { handleEvent(event: Event): void };

/**
 * The types of a message. The `binaryType` of the socket decides which one listeners get.
 *
 * @see {@linkcode WebSocket}
 */
export type RawData = Buffer | ArrayBuffer | Buffer[];

/**
 * The events of a socket, with the arguments of their listeners.
 *
 * @see {@linkcode WebSocket}
 */
export interface WebSocketEvents {
  /** The connection is open. */
  open: [];
  /** A message was received. A text message comes as its bytes, too. */
  message: [data: RawData, isBinary: boolean];
  /** A ping was received, and answered unless `autoPong` is off. */
  ping: [payload: Buffer];
  /** A pong was received. */
  pong: [payload: Buffer];
  /** The connection has failed; `close` follows. */
  error: [error: Error];
  /** The connection has ended. */
  close: [code: number, reason: Buffer];
  /** The server has accepted the handshake. */
  upgrade: [response: IncomingMessage];
  /** A redirect is followed. */
  redirect: [url: string, request: ClientRequest];
  /** The server has sent another response. Without a listener for it the handshake fails. */
  "unexpected-response": [request: ClientRequest, response: IncomingMessage];
}

type Listener = ((...args: unknown[]) => void) & { [ATTRIBUTE]?: boolean; [HANDLER]?: Handler };

/** An event of `addEventListener`, whose target is the emitter. */
class SocketEvent extends Event {
  readonly #target: object;

  constructor(type: string, target: object) {
    super(type);
    this.#target = target;
  }

  override get target(): EventTarget {
    return this.#target as EventTarget;
  }
}

class SocketMessageEvent extends SocketEvent {
  readonly data: unknown;

  constructor(target: object, data: unknown, isBinary: boolean) {
    super("message", target);
    this.data = isBinary ? data : String(data);
  }
}

class SocketCloseEvent extends SocketEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;

  constructor(target: object, code: number, reason: unknown, wasClean: boolean) {
    super("close", target);
    this.code = code;
    this.reason = String(reason);
    this.wasClean = wasClean;
  }
}

class SocketErrorEvent extends SocketEvent {
  readonly error: unknown;
  readonly message: string;

  constructor(target: object, error: unknown) {
    super("error", target);
    this.error = error;
    this.message = error instanceof Error ? error.message : String(error);
  }
}

/** Returns whether both sides have sent a close frame. */
type WasClean = () => boolean;

function makeEvent(
  emitter: EventEmitter,
  type: string,
  [first, second]: unknown[],
  wasClean: WasClean,
): Event {
  switch (type) {
    case "message":
      return new SocketMessageEvent(emitter, first, second as boolean);
    case "close":
      return new SocketCloseEvent(emitter, first as number, second, wasClean());
    case "error":
      return new SocketErrorEvent(emitter, first);
    default:
      return new SocketEvent(type, emitter);
  }
}

const TYPES = ["open", "message", "close", "error"];

/** Adds a listener as `addEventListener` does; the same handler isn't added twice. */
export function addHandler(
  emitter: EventEmitter,
  type: string,
  handler: Handler,
  wasClean: WasClean,
  options: { once?: boolean; attribute?: boolean } = {},
): void {
  if (!TYPES.includes(type)) return;
  const { once = false, attribute = false } = options;
  const there = (emitter.listeners(type) as Listener[]).some((listener) =>
    !attribute && !listener[ATTRIBUTE] && listener[HANDLER] === handler
  );
  if (there) return;
  const listener: Listener = (...args) => {
    const event = makeEvent(emitter, type, args, wasClean);
    if (typeof handler === "function") handler.call(emitter, event);
    else handler.handleEvent(event);
  };
  listener[ATTRIBUTE] = attribute;
  listener[HANDLER] = handler;
  if (once) emitter.once(type, listener);
  else emitter.on(type, listener);
}

/** Removes a listener that was added by `addHandler`. */
export function removeHandler(emitter: EventEmitter, type: string, handler: Handler): void {
  for (const listener of emitter.listeners(type) as Listener[]) {
    if (listener[HANDLER] !== handler || listener[ATTRIBUTE]) continue;
    emitter.removeListener(type, listener);
    return;
  }
}

/** The value of an `on…` attribute. */
export function attributeOf(emitter: EventEmitter, type: string): Handler | null {
  const listeners = emitter.listeners(type) as Listener[];
  return listeners.find((listener) => listener[ATTRIBUTE])?.[HANDLER] ?? null;
}

/** Sets an `on…` attribute. A value that isn't a function clears it. */
export function setAttribute(
  emitter: EventEmitter,
  type: string,
  handler: unknown,
  wasClean: WasClean,
): void {
  for (const listener of emitter.listeners(type) as Listener[]) {
    if (listener[ATTRIBUTE]) emitter.removeListener(type, listener);
  }
  if (typeof handler === "function") {
    addHandler(emitter, type, handler as Handler, wasClean, { attribute: true });
  }
}
