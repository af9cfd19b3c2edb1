// The parts of the C library that this folder uses: system calls on sockets, their constants, and the layouts of their
// structures on Linux (x86-64 and 64-bit ARM, both little-endian). Lengths and results are declared with 32 bits, which
// is enough for all buffers here: 64 bits need a BigInt, which makes a call a third slower.

import { stackless } from "../../util/stackless.ts";

const INT = "i32", SIZE = "u32", BUFFER = "buffer";

const SYMBOLS = {
  socket: { parameters: [INT, INT, INT], result: INT },
  bind: { parameters: [INT, BUFFER, SIZE], result: INT },
  listen: { parameters: [INT, INT], result: INT },
  accept4: { parameters: [INT, BUFFER, BUFFER, INT], result: INT },
  connect: { parameters: [INT, BUFFER, SIZE], result: INT },
  getsockname: { parameters: [INT, BUFFER, BUFFER], result: INT },
  getpeername: { parameters: [INT, BUFFER, BUFFER], result: INT },
  getsockopt: { parameters: [INT, INT, INT, BUFFER, BUFFER], result: INT },
  setsockopt: { parameters: [INT, INT, INT, BUFFER, SIZE], result: INT },
  recv: { parameters: [INT, BUFFER, SIZE, INT], result: INT },
  send: { parameters: [INT, BUFFER, SIZE, INT], result: INT },
  shutdown: { parameters: [INT, INT], result: INT },
  close: { parameters: [INT], result: INT },
  ioctl: { parameters: [INT, SIZE, BUFFER], result: INT },
  eventfd: { parameters: [SIZE, INT], result: INT },
  eventfd_write: { parameters: [INT, "u64"], result: INT },
  epoll_create1: { parameters: [INT], result: INT },
  epoll_ctl: { parameters: [INT, INT, INT, BUFFER], result: INT },
  epoll_wait: { parameters: [INT, BUFFER, INT, INT], result: INT },
  /** The same function in a thread of its own, so that it may block. */
  epoll_wait_asleep: {
    name: "epoll_wait",
    parameters: [INT, "pointer", INT, INT],
    result: INT,
    nonblocking: true,
  },
  /** Sleeps for some µs in a thread of its own, so that the runtime has nothing to do in the meantime. */
  usleep_asleep: { name: "usleep", parameters: [SIZE], result: INT, nonblocking: true },
  malloc: { parameters: [SIZE], result: "pointer" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of the C library. */
export type LibC = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
/** `SOCK_CLOEXEC | SOCK_NONBLOCK`: child processes don't inherit the descriptor, and no call on it blocks. */
export const SOCK_FLAGS = 0x80000 | 0x800;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_NOTSENT_LOWAT = 25;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
/** The request for the number of bytes that the peer's kernel hasn't acknowledged. */
export const SIOCOUTQ = 0x5411;
/** If the peer has disconnected, `send` fails, and no SIGPIPE ends the process. */
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;
export const EPOLLRDHUP = 0x2000;
/** Edge-triggered: an event is reported only when it occurs, so a connection that isn't read costs nothing. */
export const EPOLLET = 0x80000000;
export const EINTR = 4;
export const EAGAIN = 11;
export const ECONNABORTED = 103;
export const EINPROGRESS = 115;

/** The memory layout of `struct epoll_event`, which is packed on x86-64 only. */
export interface EventLayout {
  /** The size of an event in bytes. */
  readonly size: number;
  /** The offset of the field `data`. */
  readonly data: number;
}

/**
 * The layout for an architecture.
 *
 * @param os The operating system, as `Deno.build.os` names it.
 * @param arch The architecture, as `Deno.build.arch` names it.
 * @returns The layout, or `null` for an unsupported platform.
 */
export function eventLayout(os: string, arch: string): EventLayout | null {
  if (os !== "linux") return null;
  if (arch === "x86_64") return { size: 12, data: 4 };
  if (arch === "aarch64") return { size: 16, data: 8 };
  return null;
}

/**
 * Opens the C library.
 *
 * @returns Its functions.
 * @throws {Deno.errors.NotCapable} Without `--allow-ffi`.
 */
export function openLibC(): LibC {
  return Deno.dlopen("libc.so.6", SYMBOLS).symbols;
}

/** Makes a function that reads the error number of the last call. It has to be called in the same turn and thread. */
export function errnoReader(libc: LibC): () => number {
  const view = new Deno.UnsafePointerView(libc.__errno_location()!);
  return () => view.getInt32();
}

const ERRORS: Record<number, [new (message: string) => Error, code: string, text: string]> = {
  1: [Deno.errors.PermissionDenied, "EPERM", "Operation not permitted"],
  2: [Deno.errors.NotFound, "ENOENT", "No such file or directory"],
  9: [Deno.errors.BadResource, "EBADF", "Bad file descriptor"],
  13: [Deno.errors.PermissionDenied, "EACCES", "Permission denied"],
  22: [Error, "EINVAL", "Invalid argument"],
  23: [Error, "ENFILE", "Too many open files in system"],
  24: [Error, "EMFILE", "Too many open files"],
  32: [Deno.errors.BrokenPipe, "EPIPE", "Broken pipe"],
  71: [Error, "EPROTO", "Protocol error"],
  98: [Deno.errors.AddrInUse, "EADDRINUSE", "Address already in use"],
  99: [Deno.errors.AddrNotAvailable, "EADDRNOTAVAIL", "Cannot assign requested address"],
  101: [Error, "ENETUNREACH", "Network is unreachable"],
  103: [Deno.errors.ConnectionAborted, "ECONNABORTED", "Connection aborted"],
  104: [Deno.errors.ConnectionReset, "ECONNRESET", "Connection reset by peer"],
  107: [Deno.errors.NotConnected, "ENOTCONN", "Not connected"],
  110: [Deno.errors.TimedOut, "ETIMEDOUT", "Connection timed out"],
  111: [Deno.errors.ConnectionRefused, "ECONNREFUSED", "Connection refused"],
  113: [Error, "EHOSTUNREACH", "No route to host"],
};

/**
 * Makes the error that Deno's own sockets throw for an error number, with its `code`.
 *
 * @param attempt What was attempted, if Deno's own sockets have no such call; otherwise callers add it to the message.
 */
export function systemError(errno: number, attempt?: string): Error {
  const [Kind, code, text] = ERRORS[errno] ?? [Error, undefined, "System error"];
  const what = attempt === undefined ? "" : `Cannot ${attempt}: `;
  // To print a stack trace the runtime opens files, and if no descriptors are left it can't, and the process crashes.
  const error = stackless(() => new Kind(`${what}${text} (os error ${errno})`));
  return code === undefined ? error : Object.assign(error, { code });
}
