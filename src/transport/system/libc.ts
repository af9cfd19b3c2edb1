// The C library as this folder calls it: system calls on sockets, their constants, and the layouts of their structures on
// Linux (x86-64 and 64-bit ARM, both little-endian). Lengths and results are declared with 32 bits: 64 would go through
// BigInt, which makes a call a third slower, and no buffer here is that large.

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
  /** The same in a thread of its own, so that it may sleep. */
  epoll_wait_asleep: {
    name: "epoll_wait",
    parameters: [INT, "pointer", INT, INT],
    result: INT,
    nonblocking: true,
  },
  /** Lets a thread of its own sleep for some µs, and the runtime have nothing to do meanwhile. */
  usleep_asleep: { name: "usleep", parameters: [SIZE], result: INT, nonblocking: true },
  malloc: { parameters: [SIZE], result: "pointer" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The C library's functions that are used here. */
export type LibC = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
/** Every descriptor is closed in programs that this one starts, and no call on one waits. */
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
/** Bytes in the send queue that the peer's kernel hasn't acknowledged. */
export const SIOCOUTQ = 0x5411;
/** A peer that has gone makes a send fail, not the process end. */
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;
export const EPOLLRDHUP = 0x2000;
/** An event is reported once, when it occurs: a connection that isn't read costs nothing. */
export const EPOLLET = 0x80000000;
export const EINTR = 4;
export const EAGAIN = 11;
export const ECONNABORTED = 103;
export const EINPROGRESS = 115;

/** How the event of a poll lies in memory. It is packed on x86-64 alone. */
export interface EventLayout {
  /** Bytes of one event. */
  readonly size: number;
  /** Where the 64 bits of data are that were given with the descriptor. */
  readonly data: number;
}

/**
 * The layout for an architecture.
 *
 * @param os The operating system, as `Deno.build.os` names it.
 * @param arch The architecture, as `Deno.build.arch` names it.
 * @returns The layout, or `null` for a platform on which none of this works.
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
 * @throws {Deno.errors.NotCapable} Without the permission.
 */
export function openLibC(): LibC {
  return Deno.dlopen("libc.so.6", SYMBOLS).symbols;
}

/** Makes what reads the error of the last call, in the same turn and thread. */
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
 * The error that Deno has for an error number of the kernel, with its `code`.
 *
 * @param attempt What was attempted, where Deno's own sockets have no such call; elsewhere callers put it in front.
 */
export function systemError(errno: number, attempt?: string): Error {
  const [Kind, code, text] = ERRORS[errno] ?? [Error, undefined, "System error"];
  // Without a stack: it says nothing of the cause, and to print one the runtime opens files. Where descriptors have run
  // out it can't, and ends the process.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const what = attempt === undefined ? "" : `Cannot ${attempt}: `;
  const error = new Kind(`${what}${text} (os error ${errno})`);
  Error.stackTraceLimit = stackTraceLimit;
  return code === undefined ? error : Object.assign(error, { code });
}
