import type { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";

/** Marks the listener that an `on…` attribute has set. */
const ATTRIBUTE = Symbol("attribute");
/** The handler that a listener was made of. */
const HANDLER = Symbol("handler");

/**
 * Emits an event of our own accord: what a listener throws is uncaught, and none of the emitter's business. So is an `error`
 * that nobody listens to.
 *
 * @returns Whether listeners have taken it.
 */
export function emit(emitter: EventEmitter, event: string, ...args: unknown[]): boolean {
  let taken = false;
  run(() => taken = emitter.emit(event, ...args));
  return taken;
}

/** Calls code of the application's; what it throws is uncaught. */
export function run(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    reportError(error);
  }
}

/**
 * A listener as a browser's class takes it.
 *
 * @see {@linkcode WebSocket}
 */
export type Handler = ((event: Event) => void) | { handleEvent(event: Event): void };

/**
 * A message as a listener gets it, by the `binaryType` of its socket.
 *
 * @see {@linkcode WebSocket}
 */
export type RawData = Buffer | ArrayBuffer | Buffer[];

/**
 * The events of a socket, each with what its listeners get.
 *
 * @see {@linkcode WebSocket}
 */
export interface WebSocketEvents {
  /** It is open. */
  open: [];
  /** A message; a text is its bytes as well. */
  message: [data: RawData, isBinary: boolean];
  /** A ping was received, and answered. */
  ping: [payload: Buffer];
  /** A pong was received. */
  pong: [payload: Buffer];
  /** It has failed; `close` follows. */
  error: [error: Error];
  /** It has ended. */
  close: [code: number, reason: Buffer];
  /** The server has accepted. */
  upgrade: [response: IncomingMessage];
  /** The handshake goes on at another URL. */
  redirect: [url: string, request: ClientRequest];
  /** The server has answered with something else; without a listener it is an error. */
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

/** Says whether close frames went both ways. */
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

/** Adds a listener in the way of `addEventListener`; one that is there already isn't added again. */
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

/** Removes a listener that `addHandler` has added. */
export function removeHandler(emitter: EventEmitter, type: string, handler: Handler): void {
  for (const listener of emitter.listeners(type) as Listener[]) {
    if (listener[HANDLER] !== handler || listener[ATTRIBUTE]) continue;
    emitter.removeListener(type, listener);
    return;
  }
}

/** What an `on…` attribute is set to. */
export function attributeOf(emitter: EventEmitter, type: string): Handler | null {
  const listeners = emitter.listeners(type) as Listener[];
  return listeners.find((listener) => listener[ATTRIBUTE])?.[HANDLER] ?? null;
}

/** Sets an `on…` attribute; anything but a function clears it. */
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
