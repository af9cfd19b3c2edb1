import { lookup } from "node:dns/promises";
import { UnsupportedError } from "../../errors.ts";
import { amount } from "../../util/check.ts";
import { parseAddress } from "../../util/ip_address.ts";
import { startTimer } from "../../util/timers.ts";
import type { Sockets } from "../sockets.ts";
import { connectInet, connectUnix } from "./connector.ts";
import {
  eventLayout,
  IPPROTO_TCP,
  openLibC,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_NOTSENT_LOWAT,
} from "./libc.ts";
import { SystemListener } from "./listener.ts";
import { Poller } from "./poller.ts";
import type { SocketOption } from "./socket.ts";

/**
 * Options of each socket. Sizes are in bytes.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface SystemSocketOptions {
  /**
   * The size of the kernel's send buffer (`SO_SNDBUF`), which the kernel doubles. Default: the kernel adapts it, up to some
   * megabytes.
   */
  sendBuffer?: number;
  /** The size of the kernel's receive buffer (`SO_RCVBUF`). Default: the kernel adapts it, up to some megabytes. */
  receiveBuffer?: number;
  /**
   * How many bytes the kernel accepts that it can't send yet (`TCP_NOTSENT_LOWAT`). The rest stays in the connection's send
   * queue, where pings can overtake it. Default: limited by the send buffer only.
   */
  notSentLowWater?: number;
}

let poller: Poller | null = null;

/**
 * Makes a context use the kernel's sockets directly, through Deno's foreign function interface. They cost less per
 * message and per idle connection than Deno's own sockets, and the sizes of their buffers can be set.
 *
 * Requires `--allow-ffi`, which takes the program out of Deno's sandbox, and Linux on x86-64 (64-bit ARM is implemented
 * but untested). Permissions for hosts and paths are checked as for Deno's own sockets.
 *
 * @experimental It may change in a minor release.
 * @param options Sizes of the kernel's buffers.
 * @returns The value for the option `sockets` of a context, of `listen` or of `connect`.
 * @throws {UnsupportedError} Without `--allow-ffi`, or on another platform; the message says which.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts ignore
 * import { Context } from "@sluice/websocket";
 * import { systemSockets } from "@sluice/websocket/system";
 *
 * const ctx = new Context({ sockets: systemSockets() });
 * ```
 */
export function systemSockets(options: SystemSocketOptions = {}): Sockets {
  const wanted = readOptions(options);
  const shared = poller ??= makePoller(Deno.build);
  return {
    listenTcp({ hostname, port, backlog, reusePort }) {
      const address = resolveOwn(hostname);
      requireNet(`${address.includes(":") ? `[${address}]` : address}:${port}`);
      return new SystemListener(shared, {
        address: { hostname: address, port },
        backlog,
        reusePort,
      }, wanted);
    },
    listenUnix(path, backlog) {
      requirePath(path);
      return new SystemListener(shared, { address: { path }, backlog, reusePort: false }, wanted);
    },
    async connectTcp(hostname, port, signal) {
      const literal = parseAddress(hostname) !== undefined;
      requireNet(
        literal && hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`,
      );
      const addresses = literal ? [hostname] : await addressesOf(hostname, port);
      signal?.throwIfAborted();
      return await connectInet(shared, addresses, port, wanted, startTimer, signal);
    },
    async connectUnix(path, signal) {
      requirePath(path);
      return await connectUnix(shared, path, wanted, signal);
    },
  };
}

function readOptions(options: SystemSocketOptions): SocketOption[] {
  const { sendBuffer, receiveBuffer, notSentLowWater } = options;
  const wanted: SocketOption[] = [];
  const add = (name: string, given: unknown, level: number, option: number, tcp: boolean) => {
    if (given === undefined) return;
    const value = amount("make system sockets", name, given, 0);
    if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff) {
      throw new RangeError(`Cannot make system sockets with ${name} ${value}: use 1 to 2147483647`);
    }
    wanted.push({ level, name: option, value, tcp });
  };
  add("sendBuffer", sendBuffer, SOL_SOCKET, SO_SNDBUF, false);
  add("receiveBuffer", receiveBuffer, SOL_SOCKET, SO_RCVBUF, false);
  add("notSentLowWater", notSentLowWater, IPPROTO_TCP, TCP_NOTSENT_LOWAT, true);
  return wanted;
}

/**
 * Makes a poller.
 *
 * @throws {UnsupportedError} Without `--allow-ffi`, or on another platform; the message says which.
 */
export function makePoller({ os, arch }: { os: string; arch: string }): Poller {
  const layout = eventLayout(os, arch);
  if (layout === null) {
    throw new UnsupportedError(
      `Cannot make system sockets on ${os} ${arch}: they need Linux on x86-64 or 64-bit ARM`,
    );
  }
  try {
    return new Poller(openLibC(), layout);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotCapable)) throw cause;
    throw new UnsupportedError("Cannot make system sockets: they need --allow-ffi", { cause });
  }
}

/** Resolves a hostname of this machine. Synchronous, since `listen` is. */
function resolveOwn(hostname: string): string {
  if (parseAddress(hostname) !== undefined) return hostname;
  if (hostname === "localhost") return "127.0.0.1";
  throw new TypeError(
    `Cannot listen on ${JSON.stringify(hostname)} with system sockets: use an IP address`,
  );
}

/** Resolves a hostname to addresses, and checks the permission for each of them. */
async function addressesOf(hostname: string, port: number): Promise<string[]> {
  const found = await lookup(hostname, { all: true, verbatim: true });
  return found.map(({ address, family }) => {
    requireNet(family === 6 ? `[${address}]:${port}` : `${address}:${port}`);
    return address;
  });
}

/** @throws {Deno.errors.NotCapable} As Deno's own sockets do. The kernel's sockets have no check of their own. */
function requireNet(host: string): void {
  require({ name: "net", host }, `net access to "${host}"`, "--allow-net");
}

function requirePath(path: string): void {
  require({ name: "read", path }, `read access to "${path}"`, "--allow-read");
  require({ name: "write", path }, `write access to "${path}"`, "--allow-write");
}

function require(permission: Deno.PermissionDescriptor, access: string, flag: string): void {
  if (Deno.permissions.requestSync(permission).state === "granted") return;
  throw new Deno.errors.NotCapable(`Requires ${access}, run again with the ${flag} flag`);
}
