/** Fairness of system sockets towards each other, timers and the runtime's own I/O. */
import { assert, assertEquals } from "@std/assert";
import { setImmediate } from "node:timers";
import type { SocketTransport } from "../../src/transport/sockets.ts";
import { pair, SOCKETS, TCP } from "./_system.ts";

const KIB = 1024, MIB = 1024 * KIB;

/** Writes as much as the kernel accepts, until the socket is closed. */
function flood(socket: SocketTransport): void {
  const block = new Uint8Array(256 * KIB);
  const write = () => {
    while (socket.tryWrite!(block) > 0);
    socket.whenWritable!(write);
  };
  write();
}

/** Reads in pieces as large as possible, until the socket is closed; reports the number of bytes with each notice. */
function swallow(socket: SocketTransport, told: (count: number) => void): void {
  const into = new Uint8Array(4 * MIB);
  const read = () => {
    let count: number | null;
    try {
      count = socket.tryRead!(into);
    } catch {
      return;
    }
    told(count!);
    socket.whenReadable!(read);
  };
  socket.whenReadable!(read);
}

Deno.test("system sockets: during a flood others get their turn, and a read returns at most 256 KiB", async () => {
  const [flooding, flooded] = await pair();
  const [asking, answering] = await pair();
  let notices = 0, most = 0;
  swallow(flooded, (count) => {
    notices++;
    most = Math.max(most, count);
  });
  flood(flooding);
  const answered = Promise.withResolvers<void>();
  let rounds = 0;
  const into = new Uint8Array(16);
  const answer = () => {
    if (answering.tryRead!(into)! > 0) answering.tryWrite!(Uint8Array.of(2));
    answering.whenReadable!(answer);
  };
  answering.whenReadable!(answer);
  const ask = () => {
    if (asking.tryRead!(into)! > 0 && ++rounds === 100) return answered.resolve();
    asking.tryWrite!(Uint8Array.of(1));
    asking.whenReadable!(ask);
  };
  ask();
  await answered.promise;
  assert(notices < 2000, `${notices} notices of the flood in ${rounds} round trips`);
  assert(most > 64 * KIB && most <= 256 * KIB, String(most));
  for (const end of [flooding, flooded, asking, answering]) end.close();
});

Deno.test("system sockets: a timer gets its turn among reads that could all be done at once", async () => {
  const [client, server] = await pair();
  const block = new Uint8Array(64 * KIB);
  let there = 0;
  for (let count = -1; count !== 0; there += count) count = client.tryWrite!(block);
  assert(there >= 2 * MIB, String(there));
  let fired = false;
  const timer = setTimeout(() => fired = true, 0);
  // The timer is due before the first read.
  for (const end = performance.now() + 5; performance.now() < end;);
  const into = new Uint8Array(KIB);
  let reads = 0;
  for (; !fired && reads < 1000; reads++) await server.read(into);
  assert(fired && reads <= 40, `${reads} reads`);
  clearTimeout(timer);
  client.close();
  server.close();
});

Deno.test("system sockets: others get their turn during accepts", async () => {
  const listener = SOCKETS.listenTcp({ ...TCP, backlog: 512 });
  const { port } = listener.addr as Deno.NetAddr;
  const clients = await Promise.all(
    Array.from({ length: 300 }, () => SOCKETS.connectTcp("127.0.0.1", port)),
  );
  let inTurn = 0, most = 0, over = false;
  const turn = () => {
    inTurn = 0;
    if (!over) setImmediate(turn);
  };
  turn();
  const servers: SocketTransport[] = [];
  while (servers.length < clients.length) {
    servers.push(await listener.accept());
    most = Math.max(most, ++inTurn);
  }
  over = true;
  assert(most > 1 && most <= 200, String(most));
  for (const end of [...clients, ...servers]) end.close();
  listener.close();
});

Deno.test("system sockets: the runtime's own sockets get their turn among long turns", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { hostname, port } = listener.addr as Deno.NetAddr;
  const [own, ownServer] = await Promise.all([
    Deno.connect({ hostname, port }),
    listener.accept(),
  ]);
  const [flooding, flooded] = await pair();
  let turns = 0;
  swallow(flooded, () => {
    turns++;
    for (const end = performance.now() + 2; performance.now() < end;);
  });
  flood(flooding);
  const into = new Uint8Array(4);
  for (let i = 0; i < 5; i++) {
    await own.write(Uint8Array.of(i));
    assertEquals(await ownServer.read(into), 1);
  }
  // By itself the runtime polls its I/O in one of 61 turns.
  assert(turns < 150, `${turns} turns for 5 reads`);
  for (const end of [own, ownServer, listener, flooding, flooded]) end.close();
});
