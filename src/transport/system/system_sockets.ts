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
 * What can be asked of the kernel for each socket; sizes are bytes.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode systemSockets}
 */
export interface SystemSocketOptions {
  /** The kernel's buffer for what is sent (`SO_SNDBUF`); the kernel doubles it. Default: it adapts, to some megabytes. */
  sendBuffer?: number;
  /** The kernel's buffer for what is received (`SO_RCVBUF`). Default: it adapts, to some megabytes. */
  receiveBuffer?: number;
  /**
   * How much the kernel takes that it can't send yet (`TCP_NOTSENT_LOWAT`): what exceeds it stays in our queue, where a
   * ping can pass it. Default: no bound but the buffer.
   */
  notSentLowWater?: number;
}

let poller: Poller | null = null;

/**
 * Makes the sockets of a context straight from the kernel's, through Deno's foreign function interface. They cost less
 * per message and per idle connection than Deno's own, and their buffers can be set and seen.
 *
 * Needs `--allow-ffi`, with which a program is no longer in Deno's sandbox, and Linux on x86-64 (64-bit ARM is written
 * and untested). Permissions for hosts and paths are asked of Deno as its own sockets ask them.
 *
 * @experimental It may change in a minor release.
 * @param options Sizes of the kernel's buffers.
 * @returns What the option `sockets` of a context, of `listen` and of `connect` takes.
 * @throws {UnsupportedError} If the flag or the platform is missing; it says which.
 * @throws {TypeError | RangeError} If an option makes no sense.
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
 * Makes a poller, if the platform and the permissions are there.
 *
 * @throws {UnsupportedError} If one is missing; it says which.
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

/** The address of a name of this machine, at once: `listen` doesn't wait. */
function resolveOwn(hostname: string): string {
  if (parseAddress(hostname) !== undefined) return hostname;
  if (hostname === "localhost") return "127.0.0.1";
  throw new TypeError(
    `Cannot listen on ${JSON.stringify(hostname)} with system sockets: use an IP address`,
  );
}

/** The addresses of a name, each permitted. */
async function addressesOf(hostname: string, port: number): Promise<string[]> {
  const found = await lookup(hostname, { all: true, verbatim: true });
  return found.map(({ address, family }) => {
    requireNet(family === 6 ? `[${address}]:${port}` : `${address}:${port}`);
    return address;
  });
}

/** @throws {Deno.errors.NotCapable} As Deno's own sockets do, which this goes past. */
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
