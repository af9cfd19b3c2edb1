import { type AddressRoom, addressRoom, decodeAddress } from "./address.ts";
import {
  EAGAIN,
  EINTR,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SHUT_WR,
  SIOCOUTQ,
  systemError,
  TCP_NODELAY,
} from "./libc.ts";
import type { Poller } from "./poller.ts";
import { Watched } from "./watched.ts";

const READABLE = EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
const WRITABLE = EPOLLOUT | EPOLLERR | EPOLLHUP;
const ENDED = EPOLLRDHUP | EPOLLERR | EPOLLHUP;
/** The most bytes that one call reads or writes, so that a fast connection leaves others their turn. */
const MOST_READ = 256 * 1024;
const MOST_WRITTEN = 1024 * 1024;
/** How many reads and how many writes are done at once in one turn. */
const KEPT_PER_TURN = 16;

/** An option of a socket. */
export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: number;
  /** Whether only TCP has it. */
  readonly tcp: boolean;
}

interface PendingRead {
  readonly into: Uint8Array;
  readonly resolve: (count: number | null) => void;
  readonly reject: (error: unknown) => void;
}

interface PendingWrite {
  readonly data: Uint8Array;
  readonly resolve: (count: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A connected stream socket. Reads and writes are tried at once; if one would block, the poller resumes it later. Without
 * a reader no read is pending, and no buffer is held.
 */
export class SystemSocket extends Watched {
  override readonly fd: number;
  readonly remoteAddr: Deno.NetAddr | Deno.UnixAddr;
  readonly #poller: Poller;
  #localAddr: Deno.NetAddr | Deno.UnixAddr | null;
  /** Whether a read may return something. */
  #readable = true;
  /** Whether a write may succeed. */
  #writable = true;
  /** Whether the end of the peer's direction was reported: then a short read doesn't mean that an event will follow. */
  #ending = false;
  #closed = false;
  #read: PendingRead | null = null;
  #write: PendingWrite | null = null;
  #onReadable: (() => void) | null = null;
  #onWritable: (() => void) | null = null;

  /**
   * @param fd The connected socket, owned by this object from now on.
   * @param localAddr The local address, if it is known; if not, the kernel is asked when it is needed.
   */
  constructor(
    poller: Poller,
    fd: number,
    remoteAddr: Deno.NetAddr | Deno.UnixAddr,
    localAddr: Deno.NetAddr | Deno.UnixAddr | null = null,
  ) {
    super();
    this.fd = fd;
    this.remoteAddr = remoteAddr;
    this.#localAddr = localAddr;
    this.#poller = poller;
    try {
      poller.watch(this);
    } catch (error) {
      poller.libc.close(fd);
      throw error;
    }
  }

  get localAddr(): Deno.NetAddr | Deno.UnixAddr {
    return this.#localAddr ??= localAddress(this.#poller, this.fd);
  }

  get borrows(): boolean {
    return true;
  }

  // ---- By readiness -----------------------------------------------------------------------------------------------

  /** Calls `ready` once, in a later turn, when `tryRead` may return bytes, the end or an error. */
  whenReadable(ready: () => void): void {
    this.#onReadable = ready;
    if (this.#readable) this.#poller.resumeNextTurn(this);
  }

  /** Calls `ready` once, in a later turn, when `tryWrite` may accept bytes again. */
  whenWritable(ready: () => void): void {
    this.#onWritable = ready;
    if (this.#writable) this.#poller.resumeNextTurn(this);
  }

  /** Reads the available bytes; returns their number, 0 if there are none yet, or `null` at the end. */
  tryRead(into: Uint8Array): number | null {
    if (!this.#readable) return 0;
    const { libc, errno } = this.#poller;
    const asked = Math.min(into.length, MOST_READ);
    for (;;) {
      this.#check("read from");
      const count = libc.recv(this.fd, into as Uint8Array<ArrayBuffer>, asked, 0);
      if (count > 0) {
        // A short read has emptied the buffer of the kernel; the poller reports when more arrives.
        if (count < asked && !this.#ending) this.#readable = false;
        return count;
      }
      if (count === 0) return asked === 0 ? 0 : null;
      const error = errno();
      if (error === EAGAIN) {
        this.#readable = false;
        return 0;
      }
      if (error !== EINTR) throw systemError(error);
    }
  }

  /** Writes what the kernel accepts; returns the number of bytes, 0 if it accepts none now. */
  tryWrite(data: Uint8Array): number {
    if (!this.#writable) return 0;
    const { libc, errno } = this.#poller;
    const given = Math.min(data.length, MOST_WRITTEN);
    for (;;) {
      this.#check("write to");
      const count = libc.send(this.fd, data as Uint8Array<ArrayBuffer>, given, MSG_NOSIGNAL);
      if (count >= 0) {
        if (count < given) this.#writable = false;
        return count;
      }
      const error = errno();
      if (error === EAGAIN) {
        this.#writable = false;
        return 0;
      }
      if (error !== EINTR) throw systemError(error);
    }
  }

  override note(events: number): void {
    if ((events & ENDED) !== 0) this.#ending = true;
    if ((events & READABLE) !== 0) this.#readable = true;
    if ((events & WRITABLE) !== 0) this.#writable = true;
  }

  override goOn(): void {
    if (this.#writable && !this.#closed) {
      const ready = this.#onWritable;
      this.#onWritable = null;
      if (this.#write !== null) this.#goOnWriting(this.#write);
      ready?.();
    }
    if (this.#readable && !this.#closed) {
      const ready = this.#onReadable;
      this.#onReadable = null;
      if (this.#read !== null) this.#goOnReading(this.#read);
      ready?.();
    }
  }

  // ---- By promises, as `Deno.Conn` --------------------------------------------------------------------------------

  /** Reads at most `into.length` bytes; resolves with their number, or `null` at the end. */
  read(into: Uint8Array): Promise<number | null> {
    return new Promise((resolve, reject) => {
      if (this.#read !== null) throw new Deno.errors.Busy("Cannot read: another read is pending");
      const pending = { into, resolve, reject };
      if (this.hasTurn(this.#poller, KEPT_PER_TURN)) return this.#goOnReading(pending);
      this.#read = pending;
      this.#poller.resumeNextTurn(this);
    });
  }

  #goOnReading(pending: PendingRead): void {
    this.#read = null;
    try {
      const count = this.tryRead(pending.into);
      if (count === 0 && pending.into.length > 0) this.#read = pending;
      else pending.resolve(count);
    } catch (error) {
      pending.reject(error);
    }
  }

  /** Writes some of `data`; resolves with the number of bytes that the kernel has accepted. */
  write(data: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#write !== null) {
        throw new Deno.errors.Busy("Cannot write: another write is pending");
      }
      const pending = { data, resolve, reject };
      if (this.hasTurn(this.#poller, KEPT_PER_TURN)) return this.#goOnWriting(pending);
      this.#write = pending;
      this.#poller.resumeNextTurn(this);
    });
  }

  #goOnWriting(pending: PendingWrite): void {
    this.#write = null;
    try {
      const count = this.tryWrite(pending.data);
      if (count === 0 && pending.data.length > 0) this.#write = pending;
      else pending.resolve(count);
    } catch (error) {
      pending.reject(error);
    }
  }

  /** Ends our direction. */
  closeWrite(): Promise<void> {
    try {
      this.#check("end");
      const { libc } = this.#poller;
      this.#poller.check(libc.shutdown(this.fd, SHUT_WR));
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Ends both directions. Pending reads and writes are rejected, and the callback of `whenReadable` is called.
   *
   * @throws {Deno.errors.BadResource} If the socket is closed already.
   */
  close(): void {
    this.#check("close");
    this.#closed = true;
    const ready = this.#onReadable;
    this.#onReadable = this.#onWritable = null;
    this.#poller.unwatch(this);
    this.#poller.libc.close(this.fd);
    const read = this.#read, write = this.#write;
    this.#read = this.#write = null;
    read?.reject(closedError());
    write?.reject(closedError());
    if (ready !== null) queueMicrotask(ready);
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  /** Lets the socket keep the process alive. This is the default. */
  ref(): void {
    this.#poller.setRefed(this, true);
  }

  /** Lets the process end although the socket is open. */
  unref(): void {
    this.#poller.setRefed(this, false);
  }

  /** Sends small pieces at once, without waiting for more to send with them (`TCP_NODELAY`). */
  setNoDelay(noDelay = true): void {
    if (this.remoteAddr.transport !== "tcp") return;
    this.#check("set an option of");
    const option = { level: IPPROTO_TCP, name: TCP_NODELAY, value: +noDelay, tcp: true };
    setOptions(this.#poller, this.fd, [option], false);
  }

  /** Bytes that were written and that the peer's kernel hasn't acknowledged; 0 when the socket is closed. */
  get unacknowledgedBytes(): number {
    if (this.#closed) return 0;
    const value = new Int32Array(1);
    const { libc } = this.#poller;
    const result = libc.ioctl(this.fd, SIOCOUTQ, new Uint8Array(value.buffer));
    return result < 0 ? 0 : value[0];
  }

  #check(attempt: string): void {
    if (this.#closed) throw closedError(attempt);
  }
}

function closedError(attempt = "use"): Error {
  return new Deno.errors.BadResource(`Cannot ${attempt} the socket: it is closed`);
}

/** Sets options of a socket. TCP options are skipped for Unix sockets. */
export function setOptions(
  poller: Poller,
  fd: number,
  options: readonly SocketOption[],
  isUnix: boolean,
): void {
  for (const { level, name, value, tcp } of options) {
    if (tcp && isUnix) continue;
    const bytes = new Uint8Array(Int32Array.of(value).buffer);
    const result = poller.libc.setsockopt(fd, level, name, bytes, bytes.length);
    poller.check(result, "set an option of a socket");
  }
}

/** The local address of a socket. */
export function localAddress(poller: Poller, fd: number): Deno.NetAddr | Deno.UnixAddr {
  const room = addressRoom();
  return read("getsockname", poller, fd, room);
}

/** The address of a socket's peer. */
export function peerAddress(poller: Poller, fd: number): Deno.NetAddr | Deno.UnixAddr {
  return read("getpeername", poller, fd, addressRoom());
}

function read(
  call: "getsockname" | "getpeername",
  poller: Poller,
  fd: number,
  room: AddressRoom,
): Deno.NetAddr | Deno.UnixAddr {
  const result = poller.libc[call](fd, room.bytes, new Uint8Array(room.length.buffer));
  poller.check(result, "read the address of a socket");
  return decodeAddress(room);
}
