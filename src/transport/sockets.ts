import type { Transport } from "./transport.ts";

/**
 * A connected TCP or Unix socket.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface SocketTransport extends Transport {
  /** Its own address. */
  readonly localAddr: Deno.Addr;
  /** The address of the other end. */
  readonly remoteAddr: Deno.Addr;
  /** Sends small pieces at once (`TCP_NODELAY`); absent on Unix sockets. */
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
  /** Takes the oldest connection that waits, or the next one to come. */
  accept(): Promise<SocketTransport>;
  /** Stops listening; a pending `accept` is rejected. */
  close(): void;
  /** Keeps the process alive, which is the default. */
  ref(): void;
  /** Lets the process end although it listens. */
  unref(): void;
}

/**
 * Where to listen on TCP.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface TcpListenOptions {
  /** The address to bind to. */
  readonly hostname: string;
  /** The port; 0 for any that is free. */
  readonly port: number;
  /** Connections that may wait to be accepted. */
  readonly backlog: number;
  /** Whether others may listen on the same port. */
  readonly reusePort: boolean;
}

/**
 * What makes the sockets of a context. Every method throws or rejects as Deno's own functions do.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface Sockets {
  /** Listens on TCP; bound when it returns. */
  listenTcp(options: TcpListenOptions): SocketListener;
  /** Listens on a Unix socket; bound when it returns. */
  listenUnix(path: string, backlog: number): SocketListener;
  /** Connects over TCP, to whichever address of the name answers; `signal` ends the attempt. */
  connectTcp(hostname: string, port: number, signal?: AbortSignal): Promise<SocketTransport>;
  /** Connects to a Unix socket. */
  connectUnix(path: string, signal?: AbortSignal): Promise<SocketTransport>;
}
