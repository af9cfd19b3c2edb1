/** Rare results of system calls, produced by a C library that fails as planned. All other calls are real. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectInet } from "../../src/transport/system/connector.ts";
import { eventLayout, type LibC, openLibC } from "../../src/transport/system/libc.ts";
import { SystemListener } from "../../src/transport/system/listener.ts";
import { Poller } from "../../src/transport/system/poller.ts";
import type { SystemSocket } from "../../src/transport/system/socket.ts";
import { startTimer } from "../../src/util/timers.ts";

const EINTR = 4, EMFILE = 24, EINVAL = 22, ENOBUFS = 105, ECONNABORTED = 103, EPROTO = 71;
const real = openLibC();

/** A poller whose calls fail as planned. */
function faulty() {
  const errno = real.malloc(4)!;
  const view = new DataView(Deno.UnsafePointerView.getArrayBuffer(errno, 4));
  const realErrno = new Deno.UnsafePointerView(real.__errno_location()!);
  const planned: [name: string, errno: number][] = [];
  let open = 0;
  const calls: Record<string, unknown> = { ...real, __errno_location: () => errno };
  for (const [name, call] of Object.entries(real)) {
    if (["malloc", "__errno_location"].includes(name) || name.endsWith("asleep")) continue;
    calls[name] = (...args: unknown[]) => {
      const at = planned.findIndex(([other]) => other === name);
      if (at >= 0) {
        view.setInt32(0, planned.splice(at, 1)[0][1], true);
        return -1;
      }
      const result = (call as (...args: unknown[]) => number)(...args);
      if (result < 0) view.setInt32(0, realErrno.getInt32(), true);
      else if (name === "socket" || name === "accept4") open++;
      else if (name === "close") open--;
      return result;
    };
  }
  const libc = calls as unknown as LibC;
  return {
    poller: new Poller(libc, eventLayout(Deno.build.os, Deno.build.arch)!),
    /** Makes the next call of a function fail. */
    plan: (name: string, errno: number) => void planned.push([name, errno]),
    /** The number of open sockets. */
    open: () => open,
    /** Whether all planned failures have happened. */
    done: () => planned.length === 0,
  };
}

const LISTEN = { address: { hostname: "127.0.0.1", port: 0 }, backlog: 16, reusePort: false };

function connect(poller: Poller, listener: SystemListener): Promise<SystemSocket> {
  const { port } = listener.addr as Deno.NetAddr;
  return connectInet(poller, ["127.0.0.1"], port, [], startTimer, undefined);
}

async function pair(poller: Poller): Promise<[SystemSocket, SystemSocket]> {
  const listener = new SystemListener(poller, LISTEN, []);
  const ends = await Promise.all([connect(poller, listener), listener.accept()]);
  listener.close();
  return ends;
}

Deno.test("system sockets: an interrupted call is repeated", async () => {
  const { poller, plan, done } = faulty();
  const listener = new SystemListener(poller, LISTEN, []);
  plan("accept4", EINTR);
  const [client, server] = await Promise.all([connect(poller, listener), listener.accept()]);
  for (const name of ["send", "recv", "epoll_wait"]) plan(name, EINTR);
  const into = new Uint8Array(8);
  const read = server.read(into);
  assertEquals(await client.write(Uint8Array.of(1, 2)), 2);
  assertEquals(await read, 2);
  assert(done());
  for (const end of [client, server, listener]) end.close();
});

Deno.test("system sockets: a peer that has disconnected before it was accepted is skipped", async () => {
  const { poller, plan, done } = faulty();
  const listener = new SystemListener(poller, LISTEN, []);
  plan("accept4", ECONNABORTED);
  const [client, server] = await Promise.all([connect(poller, listener), listener.accept()]);
  assert(done());
  // Other failures are reported with their code, by which the accept loop recognises them.
  plan("accept4", EPROTO);
  const error = await assertRejects(() => listener.accept(), Error, "Protocol error (os error 71)");
  assertEquals((error as Error & { code: string }).code, "EPROTO");
  for (const end of [client, server, listener]) end.close();
});

Deno.test("system sockets: a socket that can't be watched is closed, and the caller gets the error", async () => {
  const { poller, plan, done, open } = faulty();
  plan("epoll_ctl", ENOBUFS);
  assertThrows(() => new SystemListener(poller, LISTEN, []), Error, "os error 105");
  const listener = new SystemListener(poller, LISTEN, []);
  plan("epoll_ctl", EMFILE);
  await assertRejects(() => connect(poller, listener), Error, "Too many open files");
  const client = await connect(poller, listener);
  plan("epoll_ctl", EMFILE);
  await assertRejects(() => listener.accept(), Error, "Too many open files");
  client.close();
  listener.close();
  assertEquals([done(), open()], [true, 0]);
});

Deno.test("system sockets: a refused option fails the call that has requested it", async () => {
  const { poller, plan } = faulty();
  const wanted = [{ level: 1, name: 7, value: 4096, tcp: false }];
  plan("setsockopt", EINVAL);
  assertThrows(() => new SystemListener(poller, LISTEN, wanted), Error, "Invalid argument");
  const [client, server] = await pair(poller);
  plan("setsockopt", EINVAL);
  assertThrows(() => client.setNoDelay(), Error, "Invalid argument");
  plan("shutdown", EINVAL);
  await assertRejects(() => client.closeWrite(), Error, "Invalid argument");
  plan("ioctl", EINVAL);
  assertEquals(client.unacknowledgedBytes, 0);
  plan("getsockname", EINVAL);
  assertThrows(() => client.localAddr, Error, "Cannot read the address of a socket");
  client.close();
  server.close();
});

Deno.test("system sockets: a failed read or write is reported once, with the kernel's error", async () => {
  const { poller, plan } = faulty();
  const [client, server] = await pair(poller);
  plan("recv", ENOBUFS);
  await assertRejects(() => server.read(new Uint8Array(4)), Error, "System error (os error 105)");
  plan("send", EINVAL);
  await assertRejects(() => client.write(new Uint8Array(4)), Error, "Invalid argument");
  // Later calls work.
  await client.write(Uint8Array.of(7));
  assertEquals(await server.read(new Uint8Array(4)), 1);
  client.close();
  server.close();
});

Deno.test("system sockets: the next address is tried when one fails, at once or later, and the first error is reported", async () => {
  const { poller, plan, open, done } = faulty();
  const listener = new SystemListener(poller, LISTEN, []);
  const { port } = listener.addr as Deno.NetAddr;
  const to = (...addresses: string[]) =>
    connectInet(poller, addresses, port, [], startTimer, undefined);
  // No program listens on the first address, and the second one can't be used at all.
  const [late, lateServer] = await Promise.all([to("127.0.0.2", "127.0.0.1"), listener.accept()]);
  plan("socket", EMFILE);
  const [next, nextServer] = await Promise.all([to("127.0.0.1", "127.0.0.1"), listener.accept()]);
  plan("connect", EINVAL);
  await assertRejects(() => to("127.0.0.1", "127.0.0.2"), Error, "Invalid argument");
  const both = to("127.0.0.2", "127.0.0.3");
  plan("connect", EINVAL);
  await assertRejects(() => both, Deno.errors.ConnectionRefused);
  plan("getpeername", EINVAL);
  await assertRejects(() => to("127.0.0.1"), Error, "Cannot read the address");
  // A connection whose address can't be read is closed, and so are slower attempts.
  for (const end of [late, lateServer, next, nextServer, listener]) end.close();
  assertEquals([done(), open()], [true, 0]);
});

Deno.test("system sockets: a slow address is overtaken by the next one", async () => {
  const { poller, open } = faulty();
  const full = new SystemListener(poller, { ...LISTEN, backlog: 0 }, []);
  const { port } = full.addr as Deno.NetAddr;
  const first = await connect(poller, full);
  const other = new SystemListener(
    poller,
    { ...LISTEN, address: { hostname: "127.0.0.3", port } },
    [],
  );
  // Its backlog is full. The delay before the next address is given by the test's clock.
  const delays: (() => void)[] = [];
  const racing = connectInet(poller, ["127.0.0.1", "127.0.0.3"], port, [], (_, fire) => {
    delays.push(fire);
    return () => {};
  }, undefined);
  delays[0]();
  const [winner, server] = await Promise.all([racing, other.accept()]);
  assertEquals((winner.remoteAddr as Deno.NetAddr).hostname, "127.0.0.3");
  for (const end of [first, winner, server, full, other]) end.close();
  assertEquals(open(), 0);
});

Deno.test("system sockets: an attempt that is aborted before or while it waits leaves no socket open", async () => {
  const { poller, open } = faulty();
  const full = new SystemListener(poller, { ...LISTEN, backlog: 0 }, []);
  const { port } = full.addr as Deno.NetAddr;
  const first = await connect(poller, full);
  const controller = new AbortController();
  const to = () => connectInet(poller, ["127.0.0.1"], port, [], startTimer, controller.signal);
  const waiting = to();
  controller.abort(new Error("mine"));
  await assertRejects(() => waiting, Error, "mine");
  await assertRejects(to, Error, "mine");
  first.close();
  full.close();
  assertEquals(open(), 0);
});
