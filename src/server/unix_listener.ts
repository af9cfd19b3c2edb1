import type { SocketListener, Sockets } from "../transport/sockets.ts";

/** Asks in another thread whether a process listens on a Unix socket: 1 no, 2 yes, 3 can't say. */
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
 * Binds a Unix socket. The file of a process that ended without removing it is replaced; that of a living one isn't.
 *
 * @param path The path.
 * @param sockets What makes the socket.
 * @param backlog How many connections may wait to be accepted.
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

/** Removes the file of a dead process, unless another process has replaced it in between, as we are about to. */
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
 * Only a connect distinguishes a dead socket from a living one, and that is asynchronous: hence the other thread. A
 * lock beside the socket would say nothing about sockets of other programs.
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
