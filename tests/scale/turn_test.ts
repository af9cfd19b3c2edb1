import { assert, assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { makeConnection } from "../../src/connection.ts";
import { Engine, type HandshakeResult } from "../../src/engine/engine.ts";
import { resolveSettings } from "../../src/engine/options.ts";
import { Registry } from "../../src/context/registry.ts";
import { Timers } from "../../src/util/timers.ts";
import type { Transport } from "../../src/transport/transport.ts";

// Ten thousand sockets would need as many descriptors twice; what a write costs the thread is imitated instead.
const RECEIVERS = 10_000;
const WRITE_COST = 0.02;

const facts: HandshakeResult = {
  url: "ws://x/",
  protocol: "",
  extensions: "",
  request: () => null,
  responseHeaders: () => new Headers(),
  compression: null,
};

class BusyTransport implements Transport {
  static writes = 0;
  written = "";
  #ended = Promise.withResolvers<null>();
  read() {
    return this.#ended.promise;
  }
  write(data: Uint8Array) {
    for (const end = performance.now() + WRITE_COST; performance.now() < end;);
    BusyTransport.writes++;
    for (let i = 0; i < data.length; i += 3) this.written += String.fromCharCode(data[i + 2]);
    return Promise.resolve(data.length);
  }
  closeWrite() {
    return Promise.resolve();
  }
  close() {
    this.#ended.resolve(null);
  }
}

Deno.test("a publication to 10,000 lets timers run every few milliseconds, and keeps its order", async () => {
  const registry = new Registry(new Timers());
  const settings = resolveSettings("test", { keepAlive: false }, false);
  const transports: BusyTransport[] = [];
  const engines: Engine[] = [];
  for (let i = 0; i < RECEIVERS; i++) {
    const engine = new Engine(registry, "server", settings, { onMessage: () => {} });
    engine.conn = makeConnection(engine, { url: "", listener: null, data: undefined });
    const transport = new BusyTransport();
    engine.open(transport, facts, null, null);
    registry.topics.subscribe(engine, "all");
    transports.push(transport);
    engines.push(engine);
  }
  let before = 0, most = 0, ticks = 0;
  registry.topics.publish("all", "1", {}, null);
  registry.topics.publish("all", "2", {}, null);
  assertEquals(registry.topics.publish("all", "3", {}, null).sent, RECEIVERS);
  // Whatever else the machine does, so many writes are what 50 ms has room for at most.
  while (BusyTransport.writes < RECEIVERS) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    most = Math.max(most, BusyTransport.writes - before);
    before = BusyTransport.writes;
    if (++ticks === 3) registry.topics.publish("all", "4", {}, null);
  }
  await Promise.all(engines.map((engine) => engine.drained()));
  assert(most <= 50 / WRITE_COST, `${most} writes in one turn`);
  assert(transports.every(({ written }) => written === "1234"));
  const ends = engines.map((engine) => engine.closed());
  for (const engine of engines) engine.terminate();
  await Promise.all(ends);
});

Deno.test("an answer doesn't wait for the backlog of a broadcast", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ port: 0, onMessage: (conn, data) => conn.send(data) });
  const registry = new Registry(new Timers());
  const settings = resolveSettings("test", { keepAlive: false }, false);
  const engines: Engine[] = [];
  for (let i = 0; i < RECEIVERS; i++) {
    const engine = new Engine(registry, "server", settings, { onMessage: () => {} });
    engine.conn = makeConnection(engine, { url: "", listener: null, data: undefined });
    engine.open(new BusyTransport(), facts, null, null);
    registry.topics.subscribe(engine, "all");
    engines.push(engine);
  }
  await using client = ctx.connect(listener.url);
  await client.opened;
  BusyTransport.writes = 0;
  registry.topics.publish("all", "1", {}, null);
  await new Promise((resolve) => setTimeout(resolve, 0));
  client.send("question");
  assertEquals(await client.receive(), "question");
  assert(BusyTransport.writes < RECEIVERS / 2, `${BusyTransport.writes} writes came first`);
  await Promise.all(engines.map((engine) => engine.drained()));
  const ends = engines.map((engine) => engine.closed());
  for (const engine of engines) engine.terminate();
  await Promise.all(ends);
});
