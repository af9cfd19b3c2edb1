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

Deno.test("publications reach the subscribed workers once and in order", async () => {
  using hub = new WorkerHub();
  await using a = new Side(hub);
  await using b = new Side(hub);
  await using clients = new Context();
  const near = clients.connect(await a.url()), far = clients.connect(await b.url());
  await Promise.all([near.opened, far.opened]);
  far.send("+x");
  near.send("+y");
  assertEquals([await take(far, 1), await take(near, 1)], [["ok"], ["ok"]]);
  // A burst in which a BroadcastChannel loses messages.
  const expected = Array.from({ length: 3000 }, (_, i) => `${i}`);
  for (const text of expected) near.send(`x=${text}`);
  assertEquals(await take(far, 3000), expected);
  far.send("-x");
  assertEquals(await take(far, 1), ["ok"]);
  near.send("x=nobody");
  far.send("y=back");
  assertEquals(await take(near, 1), ["back"]);
});

Deno.test("a stuck worker misses the messages above its limit, and gets a gap reported", async () => {
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
  // The hub accepts all messages, and keeps 4 MiB.
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

Deno.test("shutting down a context sends its earlier publications", async () => {
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

Deno.test("the policy of a publication applies to slow receivers in other workers", async () => {
  using hub = new WorkerHub();
  const server = new Context({ broker: new WorkerBroker(hub.connect().port) });
  await using room = new Room({ highWaterMark: 0 }, server);
  const client = await room.join();
  const [member] = room.members;
  member.subscribe("x");
  await server.ready;
  await using ctx = new Context({ broker: new WorkerBroker(hub.connect().port) });
  // During a fragmented message publications wait, so the queue is above its high-water mark.
  member.sendFragment("a");
  server.publish("x", "b");
  await ctx.publish("x", "c", { slow: "drop" }).relayed;
  await ctx.publish("x", "d").relayed;
  // The publication was passed on before the hub answers a later request.
  member.subscribe("y");
  await server.ready;
  member.sendFragment("a", { final: true });
  assertEquals(await take(client, 3), ["aa", "b", "d"]);
  assertEquals(member.stats().dropped, 1);
});

Deno.test("publications fail after the hub was closed, and the error names the reason", async () => {
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

Deno.test("a broker serves only one context, and has to be a broker", async () => {
  using hub = new WorkerHub();
  const broker = new WorkerBroker(hub.connect().port);
  await using _ctx = new Context({ broker });
  await using second = new Context({ broker });
  await assertRejects(() => second.ready, TypeError, "one context");
  assertThrows(() => new Context({ onBrokerGap: 1 as unknown as () => void }), TypeError);
});

Deno.test("fault 9: invalid messages at the ports of a hub and of a worker are ignored and reported", async () => {
  const told = new Notes<unknown>(), errors = new Notes<unknown>();
  using hub = new WorkerHub({ onError: (error) => told.add(error) });
  const listening = new Context({
    broker: new WorkerBroker(hub.connect().port),
    onBrokerError: (error) => errors.add(error),
  });
  await using room = new Room({}, listening);
  const client = await room.join();
  room.members[0].subscribe("x");
  await listening.ready;
  // A port that no WorkerBroker uses.
  const { port } = hub.connect();
  const rubbish = [
    null,
    undefined,
    1,
    "bye",
    {},
    [],
    { type: "nothing" },
    { type: "batch" },
    { type: "batch", entries: [null], bytes: new Uint8Array(0) },
    { type: "batch", entries: [["x", 0, 5]], bytes: new Uint8Array(1) },
    { type: "batch", entries: [["x", 99, 1]], bytes: new Uint8Array(1) },
    { type: "batch", entries: [[1, 0, 1]], bytes: new Uint8Array(1) },
    { type: "batch", entries: [["x", 0, 1]], bytes: "x" },
    { type: "taken", count: 1 },
    { type: "taken", count: -1 },
    { type: "taken", count: Infinity },
    { type: "subscribe", id: 1, topic: null },
    { type: "subscribe", topic: "x" },
    { type: "unsubscribe" },
    { type: "gap", topics: 1 },
  ];
  for (const data of rubbish) port.postMessage(data);
  await told.count(rubbish.length);
  assert(told.all.every((error) =>
    error instanceof TypeError &&
    error.message.startsWith("Cannot read a message at the port of a worker hub: ")
  ));
  port.close();
  // The other end of a port, used as by a faulty hub.
  const { port1, port2 } = new MessageChannel();
  const ctx = new Context({
    broker: new WorkerBroker(port2),
    onBrokerError: (error) => errors.add(error),
  });
  for (const data of rubbish) port1.postMessage(data);
  await errors.count(rubbish.length);
  await ctx.shutdown();
  port1.close();
  // All other workers continue.
  await using publisher = new Context({ broker: new WorkerBroker(hub.connect().port) });
  publisher.publish("x", "still here");
  assertEquals(await take(client, 1), ["still here"]);
});

Deno.test("a hub's onError may fail; without it errors are printed on the console", async () => {
  const lines = new Notes<unknown[]>(), console_ = console.error;
  console.error = (...line: unknown[]) => lines.add(line);
  try {
    for (const onError of [undefined, () => Promise.reject(new Error("mine"))]) {
      using hub = new WorkerHub({ onError });
      const { port } = hub.connect();
      port.postMessage(null);
      await lines.find(([text]) => String(text).includes(onError ? "callback failed" : "ignored"));
      port.close();
    }
  } finally {
    console.error = console_;
  }
  assertThrows(() => new WorkerHub({ onError: 1 as unknown as () => void }), TypeError, "onError");
});

Deno.test("the broker of a worker relays tens of thousands of publications in linear time", async () => {
  using hub = new WorkerHub();
  await using ctx = new Context({ broker: new WorkerBroker(hub.connect().port) });
  // 4 MiB have room for this number of small messages; each round waits for its last one.
  let last = Promise.resolve();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 30_000; i++) last = ctx.publish("x", "").relayed;
    await last;
  }
});

Deno.test("brokers that weren't started refuse publications", async () => {
  const message = { text: true, payload: new Uint8Array(0), slow: "queue" } as const;
  const { port1, port2 } = new MessageChannel();
  const broker = new WorkerBroker(port1);
  await assertRejects(() => broker.subscribe("x"), TypeError, "started");
  await assertRejects(() => broker.publish("x", message), TypeError, "started");
  broker.unsubscribe("x");
  await broker.close();
  port1.close();
  port2.close();
});
