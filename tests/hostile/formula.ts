/** The options that determine the memory of a connection. */
export interface Bounds {
  maxHeaderBytes?: number;
  maxMessageSize?: number;
  readAhead?: number;
  maxQueueBytes?: number;
  compression?: boolean;
}

const KiB = 1024;

/** The terms of the formula in docs/security.md, in bytes of resident memory. */
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
    /** A silent connection, with the head of its request. */
    base: 24 * KiB + maxHeaderBytes,
    /** A connection with ordinary HTTP, without the memory of the handler. */
    http: 512 * KiB + maxHeaderBytes,
    /** A connection over HTTP/2, without its streams. */
    http2: 80 * KiB + maxHeaderBytes,
    /** Output that the peer of an HTTP/2 connection doesn't read, in addition to the queues of its WebSockets, and the allocator's share. */
    output: 1024 * KiB,
    /** Input of a stream that isn't read. */
    window: 64 * KiB,
    /** One read of the largest size. */
    read: 160 * KiB,
    /** An unfinished message, and its conversion. */
    message: 2 * maxMessageSize,
    /** Held messages; the smallest ones cost the most. */
    held: 5 * readAhead,
    /** Queued messages; those of one byte cost the most. */
    queue: 3 * maxQueueBytes + 64 * KiB,
    /** Answers to pings, and pings and pongs of the application. */
    control: 32 * KiB,
    /** Both codecs with the largest windows. */
    codecs: compression ? 400 * KiB : 0,
  };
}

/** The most that a connection may cost. */
export function total(bounds: Bounds = {}): number {
  const { base, read, message, held, queue, control, codecs } = terms(bounds);
  return base + read + message + held + queue + control + codecs;
}
