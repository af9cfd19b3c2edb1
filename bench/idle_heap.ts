// Measures what an idle connection costs in objects: bytes of JS heap per server connection, over streams that do
// nothing. Unlike `idle_memory.ts` it sees neither the kernel nor memory outside of the heap, nor what a handshake
// leaves in memory; in return it is precise enough to show a single added field.
//
//   deno task bench:heap [--connections N]
//
// Exits with 1 above the limit.

import { makeConnection } from "../src/connection.ts";
import { resolveSettings } from "../src/connection_options.ts";
import { Registry } from "../src/context/registry.ts";
import { Engine } from "../src/engine/engine.ts";
import type { Transport } from "../src/transport/transport.ts";
import { Timers } from "../src/util/timers.ts";
import { readOptions } from "../tools/options.ts";

const LIMIT = 1300;
const { values } = readOptions({ connections: { type: "string", default: "20000" } });
const count = Number(values.connections);
const FACTS = {
  protocol: "",
  extensions: "",
  compression: null,
  url: "ws://127.0.0.1/",
  request: () => null,
  requestFields: () => null,
  responseHeaders: () => new Headers(),
};

/** A stream whose reads never end, and which takes everything. */
class SilentStream implements Transport {
  pending: Promise<number | null> | null = null;

  read(): Promise<number | null> {
    // The runtime holds the promise of a pending read; here the stream does.
    return this.pending = new Promise(() => {});
  }

  write(data: Uint8Array): Promise<number> {
    return Promise.resolve(data.length);
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

const { gc } = globalThis as { gc?: () => void };

async function heap(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    gc!();
  }
  return Deno.memoryUsage().heapUsed;
}

function silent(): SilentStream[] {
  return Array.from({ length: count }, () => new SilentStream());
}

/** Bytes per connection, without the stream and the promise of its read. */
async function measure(): Promise<number> {
  const idle = silent(), empty = await heap();
  for (const stream of idle) stream.read();
  const reads = await heap() - empty;

  const registry = new Registry(new Timers());
  const settings = resolveSettings("listen", {});
  const handlers = { onMessage() {} };
  const streams = silent(), before = await heap();
  for (const stream of streams) {
    const engine = new Engine(registry, "server", settings, handlers);
    makeConnection(engine, { url: "", home: registry, data: undefined });
    engine.open(stream, FACTS, null);
  }
  const bytes = await heap() - before - reads;
  if (registry.size !== count || idle.length !== count) throw new Error("Not all are open");
  for (const engine of registry.engines()) engine.terminate();
  return bytes / count;
}

if (gc === undefined) {
  console.error("Cannot measure the heap: run with --v8-flags=--expose-gc");
  Deno.exit(2);
}
// The first round compiles code and fills pools.
await measure();
const bytes = Math.round(await measure());
console.log(`${bytes} bytes`);
if (bytes > LIMIT) {
  console.error(`More than ${LIMIT} bytes`);
  Deno.exit(1);
}
