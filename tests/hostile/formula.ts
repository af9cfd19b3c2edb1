/** The options that the memory of a connection depends on. */
export interface Bounds {
  maxHeaderBytes?: number;
  maxMessageSize?: number;
  readAhead?: number;
  maxQueueBytes?: number;
  compression?: boolean;
}

const KiB = 1024;

/** The terms of docs/security.md, in bytes of resident memory. */
export function terms(bounds: Bounds = {}) {
  const {
    maxHeaderBytes = 16 * KiB,
    maxMessageSize = 1024 * KiB,
    readAhead = 64 * KiB,
    maxQueueBytes = 16 * 1024 * KiB,
    compression = false,
  } = bounds;
  return {
    /** A handshake in progress. */
    handshake: 24 * KiB + 2 * maxHeaderBytes,
    /** A connection that says nothing, with the head of its request. */
    base: 24 * KiB + maxHeaderBytes,
    /** A connection that carries ordinary HTTP, without what the handler keeps. */
    http: 512 * KiB + maxHeaderBytes,
    /** A connection over HTTP/2, without its streams. */
    http2: 80 * KiB + maxHeaderBytes,
    /** What the peer of one doesn't take, beyond the queues of its WebSockets, and what the allocator keeps of it. */
    output: 1024 * KiB,
    /** What a stream may receive while it isn't read. */
    window: 64 * KiB,
    /** One read of the largest size. */
    read: 160 * KiB,
    /** An unfinished message, and what it becomes. */
    message: 2 * maxMessageSize,
    /** Messages that are held; the smallest ones cost the most. */
    held: 5 * readAhead,
    /** What the peer hasn't taken; messages of one byte cost the most. */
    queue: 3 * maxQueueBytes + 64 * KiB,
    /** Answers to pings, and pings and pongs of the application's. */
    control: 32 * KiB,
    /** Both codecs with the largest windows. */
    codecs: compression ? 400 * KiB : 0,
  };
}

/** All that a connection may cost. */
export function total(bounds: Bounds = {}): number {
  const { base, read, message, held, queue, control, codecs } = terms(bounds);
  return base + read + message + held + queue + control + codecs;
}
