import { addressRoom, decodeAddress, encodeInet, encodeUnix } from "./address.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EAGAIN,
  ECONNABORTED,
  EINTR,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_FLAGS,
  SOCK_STREAM,
  SOL_SOCKET,
  systemError,
} from "./libc.ts";
import type { Poller } from "./poller.ts";
import { Watched } from "./watched.ts";
import { localAddress, setOptions, type SocketOption, SystemSocket } from "./socket.ts";

/** How many connections are accepted in one turn, so that accepted ones get their turn, too. */
const ACCEPTED_PER_TURN = 16;

interface PendingAccept {
  readonly resolve: (socket: SystemSocket) => void;
  readonly reject: (error: unknown) => void;
}

/** The address and the options of a listening socket. */
export interface SystemListenOptions {
  /** An IP address and a port, or the path of a Unix socket. */
  readonly address: { readonly hostname: string; readonly port: number } | {
    readonly path: string;
  };
  readonly backlog: number;
  readonly reusePort: boolean;
}

/** A listening socket. `accept` takes one connection at a time, at once if one is waiting. */
export class SystemListener extends Watched {
  override readonly fd: number;
  readonly addr: Deno.NetAddr | Deno.UnixAddr;
  readonly #poller: Poller;
  #pending: PendingAccept | null = null;
  /** The local address of all accepted sockets; `null` if the listener is bound to the wildcard address. */
  readonly #shared: Deno.NetAddr | Deno.UnixAddr | null;
  /** The path of a Unix socket. */
  readonly #path: string | null;
  #closed = false;

  /**
   * Binds and listens.
   *
   * @param wanted Options of the socket, which accepted sockets inherit.
   */
  constructor(
    poller: Poller,
    options: SystemListenOptions,
    wanted: readonly SocketOption[],
  ) {
    super();
    this.#poller = poller;
    this.#path = "path" in options.address ? options.address.path : null;
    this.fd = bind(poller, options, wanted);
    try {
      this.addr = localAddress(poller, this.fd);
      this.#shared = isAny(this.addr) ? null : this.addr;
      poller.watch(this);
    } catch (error) {
      poller.libc.close(this.fd);
      throw error;
    }
  }

  /** Resolves with the oldest waiting connection, or with the next one. */
  accept(): Promise<SystemSocket> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closedError();
      if (this.#pending !== null) throw new Deno.errors.Busy("Cannot accept: another is pending");
      const pending = { resolve, reject };
      if (this.hasTurn(this.#poller, ACCEPTED_PER_TURN)) return this.#accept(pending);
      this.#pending = pending;
      this.#poller.resumeNextTurn(this);
    });
  }

  #accept(pending: PendingAccept): void {
    this.#pending = null;
    const { libc, errno } = this.#poller;
    const room = addressRoom();
    for (;;) {
      const fd = libc.accept4(
        this.fd,
        room.bytes,
        new Uint8Array(room.length.buffer),
        SOCK_FLAGS,
      );
      if (fd >= 0) {
        this.#take(fd, pending, decodeAddress(room));
        return;
      }
      const error = errno();
      if (error === EAGAIN) {
        this.#pending = pending;
        return;
      }
      // A connection that was aborted before it could be accepted is skipped.
      if (error === EINTR || error === ECONNABORTED) continue;
      pending.reject(systemError(error));
      return;
    }
  }

  #take(fd: number, { resolve, reject }: PendingAccept, peer: Deno.NetAddr | Deno.UnixAddr): void {
    try {
      resolve(new SystemSocket(this.#poller, fd, peer, this.#shared));
    } catch (error) {
      reject(error);
    }
  }

  override note(): void {}

  override goOn(): void {
    if (this.#pending !== null) this.#accept(this.#pending);
  }

  /** Stops listening; a pending `accept` is rejected. */
  close(): void {
    if (this.#closed) throw closedError();
    this.#closed = true;
    this.#poller.unwatch(this);
    this.#poller.libc.close(this.fd);
    // As Deno's listeners do: no client can connect to the file any more.
    if (this.#path !== null) removeQuietly(this.#path);
    this.#pending?.reject(closedError());
    this.#pending = null;
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  ref(): void {
    this.#poller.setRefed(this, true);
  }

  unref(): void {
    this.#poller.setRefed(this, false);
  }
}

function bind(
  poller: Poller,
  { address, backlog, reusePort }: SystemListenOptions,
  wanted: readonly SocketOption[],
): number {
  const { libc } = poller;
  const isUnix = "path" in address;
  const name = isUnix ? encodeUnix(address.path) : encodeInet(address.hostname, address.port);
  const v6 = !isUnix && address.hostname.includes(":");
  const family = isUnix ? AF_UNIX : v6 ? AF_INET6 : AF_INET;
  const fd = poller.check(libc.socket(family, SOCK_STREAM | SOCK_FLAGS, 0));
  const on = new Uint8Array(Int32Array.of(1).buffer), off = new Uint8Array(4);
  try {
    if (!isUnix) {
      poller.check(libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, 4));
      if (reusePort) poller.check(libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, on, 4));
      if (v6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, off, 4);
    }
    setOptions(poller, fd, wanted, isUnix);
    poller.check(libc.bind(fd, name, name.length));
    poller.check(libc.listen(fd, backlog));
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

function isAny(addr: Deno.NetAddr | Deno.UnixAddr): boolean {
  return addr.transport === "tcp" && (addr.hostname === "0.0.0.0" || addr.hostname === "::");
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // The file or its folder may have been removed already.
  }
}

function closedError(): Error {
  return new Deno.errors.BadResource("Cannot use the listener: it is closed");
}
