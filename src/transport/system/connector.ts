import { encodeInet, encodeUnix } from "./address.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EINPROGRESS,
  SO_ERROR,
  SOCK_FLAGS,
  SOCK_STREAM,
  SOL_SOCKET,
  systemError,
} from "./libc.ts";
import type { Poller } from "./poller.ts";
import { Watched } from "./watched.ts";
import { peerAddress, setOptions, type SocketOption, SystemSocket } from "./socket.ts";

/** After this time the next address is tried as well, in ms (RFC 8305 8, "Connection Attempt Delay"). */
const ATTEMPT_DELAY = 250;

/** An attempt to connect to one address. */
class Attempt extends Watched {
  override readonly fd: number;
  readonly #poller: Poller;
  readonly #settle: (error: Error | null) => void;
  #done = false;

  constructor(
    poller: Poller,
    { family, name }: Target,
    wanted: readonly SocketOption[],
    settle: (error: Error | null) => void,
  ) {
    super();
    const { libc } = poller;
    this.#poller = poller;
    this.#settle = settle;
    this.fd = poller.check(libc.socket(family, SOCK_STREAM | SOCK_FLAGS, 0));
    try {
      // Before `connect`: the TCP window that the peer is offered depends on the size of the receive buffer.
      setOptions(poller, this.fd, wanted, family === AF_UNIX);
      const result = libc.connect(this.fd, name, name.length);
      const error = result < 0 ? poller.errno() : 0;
      if (error !== 0 && error !== EINPROGRESS) throw systemError(error);
      poller.watch(this);
    } catch (error) {
      libc.close(this.fd);
      throw error;
    }
  }

  override note(): void {}

  /** Settles the attempt: the socket is writable, or has failed. */
  override goOn(): void {
    if (this.#done) return;
    const value = new Int32Array(1), length = Uint32Array.of(4);
    const { libc } = this.#poller;
    libc.getsockopt(
      this.fd,
      SOL_SOCKET,
      SO_ERROR,
      new Uint8Array(value.buffer),
      new Uint8Array(length.buffer),
    );
    this.#done = true;
    this.#settle(value[0] === 0 ? null : systemError(value[0]));
  }

  /** Returns the descriptor, which belongs to the caller from now on. */
  release(): number {
    this.#done = true;
    this.#poller.unwatch(this);
    return this.fd;
  }

  /** Closes the descriptor. */
  cancel(): void {
    this.#poller.libc.close(this.release());
  }
}

/**
 * Connects to the first of some addresses that answers. The next address is tried when an attempt fails, or after
 * `ATTEMPT_DELAY`.
 */
export function connectInet(
  poller: Poller,
  addresses: readonly string[],
  port: number,
  wanted: readonly SocketOption[],
  delay: (ms: number, fire: () => void) => () => void,
  signal: AbortSignal | undefined,
): Promise<SystemSocket> {
  return race(
    poller,
    addresses.map((hostname) => ({
      family: hostname.includes(":") ? AF_INET6 : AF_INET,
      name: encodeInet(hostname, port),
    })),
    wanted,
    delay,
    signal,
  );
}

/** Connects to a Unix socket. */
export function connectUnix(
  poller: Poller,
  path: string,
  wanted: readonly SocketOption[],
  signal: AbortSignal | undefined,
): Promise<SystemSocket> {
  const target = { family: AF_UNIX, name: encodeUnix(path) };
  return race(poller, [target], wanted, () => () => {}, signal);
}

interface Target {
  readonly family: number;
  readonly name: Uint8Array<ArrayBuffer>;
}

function race(
  poller: Poller,
  targets: readonly Target[],
  wanted: readonly SocketOption[],
  delay: (ms: number, fire: () => void) => () => void,
  signal: AbortSignal | undefined,
): Promise<SystemSocket> {
  return new Promise((resolve, reject) => {
    const running = new Set<Attempt>();
    let next = 0, first: unknown = null, stopDelay = () => {};
    const finish = () => {
      stopDelay();
      signal?.removeEventListener("abort", abort);
      for (const attempt of running) attempt.cancel();
      running.clear();
    };
    const abort = () => {
      finish();
      reject(signal!.reason);
    };
    const failed = (error: unknown) => {
      first ??= error;
      if (next < targets.length) return start();
      if (running.size > 0) return;
      finish();
      reject(first);
    };
    const start = () => {
      stopDelay();
      if (next === targets.length) return;
      const target = targets[next++];
      stopDelay = delay(ATTEMPT_DELAY, start);
      try {
        const attempt: Attempt = new Attempt(poller, target, wanted, (error) => {
          running.delete(attempt);
          let peer: Deno.NetAddr | Deno.UnixAddr;
          try {
            if (error !== null) throw error;
            peer = peerAddress(poller, attempt.fd);
          } catch (error) {
            attempt.cancel();
            failed(error);
            return;
          }
          const fd = attempt.release();
          finish();
          try {
            resolve(new SystemSocket(poller, fd, peer));
          } catch (error) {
            reject(error);
          }
        });
        running.add(attempt);
      } catch (error) {
        failed(error);
      }
    };
    if (signal?.aborted) return reject(signal.reason);
    signal?.addEventListener("abort", abort);
    start();
  });
}
