import type { SocketListener, Sockets } from "../transport/sockets.ts";

/** Tries in another thread whether a process listens on a Unix socket: 1 for no, 2 for yes, 3 for unknown. */
const PROBE = `onmessage = async ({ data: { path, answer } }) => {
  let found = 3;
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    found = 2;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) found = 1;
  }
  Atomics.store(answer, 0, found);
  Atomics.notify(answer, 0);
};`;

const DEAD = 1;
const PROBE_TIMEOUT = 2000;

/**
 * Binds a Unix socket. The file of a process that has ended without removing it is replaced.
 *
 * @param path The path.
 * @param sockets The implementation of sockets.
 * @param backlog The most connections that wait to be accepted.
 * @returns The listener, which removes the file when it is closed.
 * @throws {Deno.errors.AddrInUse} If a process listens there, or the file isn't a socket.
 */
export function bindUnix(path: string, sockets: Sockets, backlog: number): SocketListener {
  if (typeof path !== "string" || path === "") {
    throw new TypeError(`Cannot listen on the path ${JSON.stringify(path)}: not a path`);
  }
  try {
    return sockets.listenUnix(path, backlog);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  }
  const found = Deno.lstatSync(path);
  if (!found.isSocket) {
    throw new Deno.errors.AddrInUse(`Cannot listen on ${path}: the file isn't a socket`);
  }
  if (!isDead(path)) throw living(path);
  removeDead(path, found);
  return sockets.listenUnix(path, backlog);
}

/** Removes the file of a dead process, unless another process has just replaced it, as we are about to. */
function removeDead(path: string, dead: Deno.FileInfo): void {
  const aside = `${path}.${crypto.randomUUID().slice(0, 8)}`;
  Deno.renameSync(path, aside);
  const { ino, dev } = Deno.lstatSync(aside);
  if (ino === dead.ino && dev === dead.dev) return Deno.removeSync(aside);
  Deno.renameSync(aside, path);
  throw living(path);
}

function living(path: string): Error {
  return new Deno.errors.AddrInUse(`Cannot listen on ${path}: a process is listening there`);
}

/**
 * Only connecting shows whether a process listens on a socket, and Deno connects asynchronously. But `listen` is
 * synchronous, so another thread connects while this one waits. It happens only if the file exists. A lock file would say
 * nothing about sockets of other programs.
 */
function isDead(path: string): boolean {
  const answer = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(`data:application/javascript,${encodeURIComponent(PROBE)}`, {
    type: "module",
  });
  worker.postMessage({ path, answer });
  Atomics.wait(answer, 0, 0, PROBE_TIMEOUT);
  worker.terminate();
  return answer[0] === DEAD;
}
