import type { Transport } from "./transport.ts";

/**
 * A connected TCP or Unix socket.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface SocketTransport extends Transport {
  /** The local address. */
  readonly localAddr: Deno.Addr;
  /** The peer's address. */
  readonly remoteAddr: Deno.Addr;
  /** Sets `TCP_NODELAY`, so that small writes are sent at once; absent on Unix sockets. */
  setNoDelay?(noDelay?: boolean): void;
}

/**
 * A listening TCP or Unix socket.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface SocketListener {
  /** The address that it is bound to. */
  readonly addr: Deno.Addr;
  /** Accepts the oldest connection that waits, or the next one. */
  accept(): Promise<SocketTransport>;
  /** Stops listening; a pending `accept` is rejected. */
  close(): void;
  /** Lets the listener keep the process alive, which is the default. */
  ref(): void;
  /** Lets the process end although it listens. */
  unref(): void;
}

/**
 * Options of `listenTcp`.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface TcpListenOptions {
  /** The address to bind to. */
  readonly hostname: string;
  /** The port; 0 for any free one. */
  readonly port: number;
  /** The most connections that wait to be accepted. */
  readonly backlog: number;
  /** Whether other sockets may listen on the same port. */
  readonly reusePort: boolean;
}

/**
 * An implementation of sockets. Its methods throw or reject like Deno's own functions.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface Sockets {
  /** Listens on TCP. The socket is bound when this returns. */
  listenTcp(options: TcpListenOptions): SocketListener;
  /** Listens on a Unix socket. The socket is bound when this returns. */
  listenUnix(path: string, backlog: number): SocketListener;
  /** Connects over TCP to an address of the name that answers; `signal` ends the attempt. */
  connectTcp(hostname: string, port: number, signal?: AbortSignal): Promise<SocketTransport>;
  /** Connects to a Unix socket. */
  connectUnix(path: string, signal?: AbortSignal): Promise<SocketTransport>;
}
