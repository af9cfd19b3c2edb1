import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BrokerError, type BrokerGap, Context, WorkerBroker, WorkerHub } from "../../mod.ts";
import { Notes } from "./_notes.ts";
import { Room, take } from "./_room.ts";

class Side implements AsyncDisposable {
  readonly worker = new Worker(new URL("./_worker.ts", import.meta.url), { type: "module" });
  readonly notes = new Notes<unknown>();
  readonly memory = new SharedArrayBuffer(4);

  constructor(hub: WorkerHub) {
    const { port } = hub.connect();
    this.worker.onmessage = ({ data }) => this.notes.add(data);
    this.worker.postMessage({ port, memory: this.memory }, [port]);
  }

  async url(): Promise<string> {
    return (await this.notes.count(1))[0] as string;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.worker.postMessage("shutdown");
    await this.notes.find((note) => note === "done");
    this.worker.terminate();
  }
}

Deno.test("publications reach the workers that subscribed, once and in order", async () => {
  using hub = new WorkerHub();
  await using a = new Side(hub);
  await using b = new Side(hub);
  await using clients = new Context();
  const near = clients.connect(await a.url()), far = clients.connect(await b.url());
  await Promise.all([near.opened, far.opened]);
  far.send("+x");
  near.send("+y");
  assertEquals([await take(far, 1), await take(near, 1)], [["ok"], ["ok"]]);
  // The bursts in which a BroadcastChannel drops.
  const expected = Array.from({ length: 3000 }, (_, i) => `${i}`);
  for (const text of expected) near.send(`x=${text}`);
  assertEquals(await take(far, 3000), expected);
  far.send("-x");
  assertEquals(await take(far, 1), ["ok"]);
  near.send("x=nobody");
  far.send("y=back");
  assertEquals(await take(near, 1), ["back"]);
});

Deno.test("a worker that is stuck misses what is beyond its bound, and is told", async () => {
  using hub = new WorkerHub();
  await using stuck = new Side(hub);
  await using clients = new Context();
  const client = clients.connect(await stuck.url());
  await client.opened;
  client.send("+x");
  await take(client, 1);
  stuck.worker.postMessage("block");
  await stuck.notes.find((note) => note === "blocked");
  await using ctx = new Context({ broker: new WorkerBroker(hub.connect().port) });
  const payload = "p".repeat(64 * 1024);
  // The hub takes all of it, and keeps 4 MiB.
  for (let i = 0; i < 100; i++) await ctx.publish("x", payload).relayed;
  Atomics.store(new Int32Array(stuck.memory), 0, 1);
  Atomics.notify(new Int32Array(stuck.memory), 0);
  const gap = await stuck.notes.find((note) => typeof note === "object") as { gap: string[] };
  assertEquals(gap, { gap: ["x"] });
  const received = await take(client, 60);
  assert(received.every((message) => message === payload));
  await ctx.publish("x", "after").relayed;
  let last;
  do last = await client.receive(); while (last === payload);
  assertEquals(last, "after");
});

Deno.test("shutting down a context sends what it published before", async () => {
  using hub = new WorkerHub();
  await using room = new Room({}, new Context({ broker: new WorkerBroker(hub.connect().port) }));
  const client = await room.join();
  room.members[0].subscribe("x");
  await room.server.ready;
  const ctx = new Context({ broker: new WorkerBroker(hub.connect().port) });
  ctx.publish("x", "1");
  ctx.publish("x", new Uint8Array([2]));
  await ctx.shutdown();
  assertEquals(await take(client, 2), ["1", new Uint8Array([2])]);
});

Deno.test("a slow receiver elsewhere goes by the publication's policy", async () => {
  using hub = new WorkerHub();
  const server = new Context({ broker: new WorkerBroker(hub.connect().port) });
  await using room = new Room({ highWaterMark: 0 }, server);
  const client = await room.join();
  const [member] = room.members;
  member.subscribe("x");
  await server.ready;
  await using ctx = new Context({ broker: new WorkerBroker(hub.connect().port) });
  // Amid a fragmented message whatever is published waits, and so the queue is above its mark.
  member.sendFragment("a");
  server.publish("x", "b");
  await ctx.publish("x", "c", { slow: "drop" }).relayed;
  await ctx.publish("x", "d").relayed;
  // It has been handed on when the hub's answer to a later question is there.
  member.subscribe("y");
  await server.ready;
  member.sendFragment("a", { final: true });
  assertEquals(await take(client, 3), ["aa", "b", "d"]);
  assertEquals(member.stats().dropped, 1);
});

Deno.test("a hub that is closed fails what is published, and says why", async () => {
  const errors: unknown[] = [], gaps: BrokerGap[] = [];
  const hub = new WorkerHub();
  const { promise, resolve } = Promise.withResolvers<void>();
  await using ctx = new Context({
    broker: new WorkerBroker(hub.connect().port),
    onBrokerGap: (gap) => gaps.push(gap),
    onBrokerError: (error) => {
      errors.push(error);
      resolve();
    },
  });
  hub.close();
  await promise;
  await assertRejects(() => ctx.publish("x", "1").relayed, BrokerError, "closed");
  assertEquals([errors.length, gaps.length], [1, 0]);
});

Deno.test("a broker serves one context, and must be one", async () => {
  using hub = new WorkerHub();
  const broker = new WorkerBroker(hub.connect().port);
  await using _ctx = new Context({ broker });
  await using second = new Context({ broker });
  await assertRejects(() => second.ready, TypeError, "one context");
  assertThrows(() => new Context({ onBrokerGap: 1 as unknown as () => void }), TypeError);
});
