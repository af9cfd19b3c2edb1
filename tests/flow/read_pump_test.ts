import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { ReadPump, type ReadSink } from "../../src/flow/read_pump.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { join, sameBytes } from "../support/bytes.ts";
import { MemoryConn, ReadyConn } from "../support/memory_conn.ts";
import { numbered, upTo } from "../support/messages.ts";
import { rawPeer } from "../support/pair.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;

Deno.test("fault 15: views of a message and of a frame of one read stay valid until the last of them is released", async () => {
  const views: Uint8Array[] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const wait = () => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    return gate.promise;
  };
  let first = true;
  await using peer = await rawPeer({
    payload: "view",
    onMessage(_, data) {
      if (!first) return;
      first = false;
      views.push(data as Uint8Array);
      return wait();
    },
    onFrameChunk(_, bytes) {
      if (views.length === 0 || views.length > 1) return;
      views.push(bytes);
      return wait();
    },
  });
  const { conn, raw } = peer;
  // One segment, so one read: the view of the message is delivered first, then that of the frame.
  await raw.write(join([raw.encode(2, numbered(7, 100)), raw.encode(2, numbered(8, 100))]));
  await until(() => views.length === 2);
  gates[1].resolve();
  await turn();
  // More than any buffer holds. If the buffer with the view were reused, its bytes would be overwritten.
  const writing = raw.write(raw.encode(2, new Uint8Array(256 * KIB).fill(0xff)));
  const before = conn.stats().bytesReceived;
  await until(() => conn.stats().bytesReceived > before);
  for (let i = 0; i < 10; i++) await turn();
  assert(sameBytes(views[0], numbered(7, 100)), "the message changed under its callback");
  gates[0].resolve();
  await writing;
});

/** A sink that accepts as many bytes as the test says. */
class Sink implements ReadSink {
  readonly log: unknown[] = [];
  budget = Infinity;
  consume(_source: unknown, start: number, end: number): number {
    this.log.push(end - start);
    return end;
  }
  readBudget = () => this.budget;
  directReadTarget = (): Uint8Array | null => null;
  consumedDirectly(count: number): void {
    this.log.push(`direct ${count}`);
  }
  inputEnded(): void {
    this.log.push("ended");
  }
  readFailed(error: unknown): void {
    this.log.push(error);
  }
}

function transport(read: (into: Uint8Array) => unknown): Transport {
  return {
    read,
    write: (data) => Promise.resolve(data.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  } as Transport;
}

Deno.test("fault 19: a sink that throws ends reading like a failed read, and the pump stays consistent", async () => {
  for (const direct of [false, true]) {
    const sink = new Sink(), error = new Error("thrown");
    sink.consume = () => {
      throw error;
    };
    sink.consumedDirectly = () => {
      throw error;
    };
    if (direct) sink.directReadTarget = () => new Uint8Array(10);
    const pump = new ReadPump(transport(() => Promise.resolve(5)), sink);
    pump.pull();
    await turn();
    pump.pull();
    await turn();
    assertEquals([sink.log, pump.reading, pump.open, pump.bytes], [[error], false, false, 5]);
  }
});

Deno.test("fault 19: the close frame is still sent if reporting the failure throws", async () => {
  const { error } = console;
  const thrown = Promise.withResolvers<void>();
  await using peer = await rawPeer({
    onError() {
      throw new Error("from onError");
    },
  });
  const { conn, raw } = peer;
  console.error = () => {
    thrown.resolve();
    throw new Error("from the console");
  };
  try {
    await raw.write(new Uint8Array([0x83, 0x80, 0, 0, 0, 0]));
    await thrown.promise;
    assertEquals(await raw.closeCode(), 1002);
    raw.close();
    assertEquals((await conn.closed).wasClean, false);
  } finally {
    console.error = error;
  }
});

const RUBBISH: Record<string, (into: Uint8Array) => unknown> = {
  "throws": () => {
    throw new Error("thrown");
  },
  "rejects": () => Promise.reject(new Error("rejected")),
  "rejects with nothing": () => Promise.reject(),
  "returns nothing": () => undefined,
  "resolves with nothing": () => Promise.resolve(),
  "resolves with more than was asked for": (into) => Promise.resolve(into.length + 1),
  "resolves with -1": () => Promise.resolve(-1),
  "resolves with NaN": () => Promise.resolve(NaN),
  "resolves with 1.5": () => Promise.resolve(1.5),
  "resolves with Infinity": () => Promise.resolve(Infinity),
  "resolves with a string": () => Promise.resolve("5"),
  "resolves with a bigint": () => Promise.resolve(5n),
  "resolves with an object": () => Promise.resolve({ valueOf: () => 5 }),
  "resolves with 0 for ever": () => Promise.resolve(0),
  "returns a thenable that throws": () => ({
    then() {
      throw new Error("then");
    },
  }),
  "returns a thenable that rejects twice": () => ({
    then(_: unknown, reject: (error: unknown) => void) {
      reject(new Error("once"));
      reject(new Error("twice"));
    },
  }),
};

for (const [what, read] of Object.entries(RUBBISH)) {
  Deno.test(`a foreign stream whose read ${what} leads to 1006 with the cause, once`, async () => {
    const log: unknown[] = [];
    await using ctx = new Context();
    const [conn] = MemoryConn.pair();
    const adopted = ctx.adopt(Object.assign(conn, { read }) as Deno.Conn, {
      handshake: false,
      onError: () => log.push("error"),
      onClose: (_, { code }) => log.push(code),
    });
    const { code, cause } = await adopted.closed;
    await turn();
    assertEquals([code, log], [1006, ["error", 1006]]);
    assert(cause instanceof Error, `${cause}`);
    if (what.startsWith("resolves")) {
      assertStringIncludes(`${cause}`, "Cannot read from the stream");
    }
  });
}

Deno.test("terminate ends a connection over a foreign stream whose read never settles", async () => {
  await using ctx = new Context();
  const [conn] = MemoryConn.pair();
  conn.read = () => new Promise<number>(() => {});
  const adopted = ctx.adopt(conn, { handshake: false, onMessage() {} });
  await turn();
  adopted.terminate();
  assertEquals((await adopted.closed).code, 1006);
});

Deno.test("a foreign stream may read synchronously, with a thenable, and sometimes nothing", async () => {
  const wire = new Uint8Array([0x81, 0x80, 0, 0, 0, 0]);
  let at = 0, calls = 0;
  const read = (into: Uint8Array) => {
    const call = calls++;
    if (at === wire.length) return new Promise(() => {});
    if (call % 2 === 0) return Promise.resolve(0);
    into[0] = wire[at++];
    return call % 4 === 1 ? 1 : { then: (resolve: (count: number) => void) => resolve(1) };
  };
  await using ctx = new Context();
  const [conn] = MemoryConn.pair();
  const got = Promise.withResolvers<unknown>();
  ctx.adopt(Object.assign(conn, { read }) as Deno.Conn, {
    handshake: false,
    onMessage: (_, data) => got.resolve(data),
  });
  assertEquals(await got.promise, "");
  await ctx.shutdown({ timeout: 0 });
});

// ---- Readiness ----------------------------------------------------------------------------------------------------

function ready(onMessage?: (conn: Connection, data: string | Uint8Array) => unknown) {
  const ctx = new Context();
  const [stream, far] = ReadyConn.pair();
  const conn = ctx.adopt(stream, { handshake: false, onMessage, maxMessageSize: 0 });
  return { ctx, conn, stream, raw: new RawPeer(far, "client") };
}

Deno.test("over a stream that reports readiness messages of every size arrive in order", async () => {
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 300_000, 5, 2_000_000, 7];
  const { ctx, stream, raw } = ready((conn, data) => conn.send(data));
  const messages = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
  const writing = raw.write(join(messages.map((message) => raw.encode(2, message))));
  for (const message of messages) assert(sameBytes((await raw.frame())!.payload, message));
  await writing;
  // A notice is requested only when no more bytes are there, so few reads return nothing.
  assert(stream.emptyReads * 4 < stream.reads, `${stream.emptyReads} of ${stream.reads}`);
  await raw.sendClose(1000);
  assertEquals(await raw.closeCode(), 1000);
  await ctx.shutdown({ timeout: 0 });
});

Deno.test("over a stream that reports readiness a pause stops reading, and no notice is requested", async () => {
  const got: unknown[] = [];
  const { ctx, conn, stream, raw } = ready((_, data) => got.push((data as Uint8Array)[0]));
  conn.pause();
  const writing = raw.write(join(upTo(64).map((i) => raw.encode(2, new Uint8Array(8192).fill(i)))));
  await until(() => conn.stats().bytesReceived >= 60 * KIB);
  for (let i = 0; i < 10; i++) await turn();
  assert(conn.stats().bytesReceived <= 64 * KIB + 100, `${conn.stats().bytesReceived}`);
  assertEquals([got, stream.listening], [[], false]);
  conn.resume();
  await writing;
  await until(() => got.length === 64);
  assertEquals(got, upTo(64));
  assert(stream.listening, "a silent connection must wait for a notice");
  await ctx.shutdown({ timeout: 0 });
});

for (const end of ["end", "failure"] as const) {
  Deno.test(`the ${end} of a stream that reports readiness is noticed`, async () => {
    const { ctx, conn, stream, raw } = ready(() => {});
    if (end === "failure") {
      stream.tryRead = () => {
        throw new Error("failed");
      };
      await raw.send(1, "x");
    } else {
      raw.close();
    }
    const { code, cause } = await conn.closed;
    assertEquals(code, 1006);
    assert(
      end === "end" ? cause instanceof Deno.errors.UnexpectedEof : `${cause}` === "Error: failed",
    );
    await ctx.shutdown({ timeout: 0 });
  });
}

Deno.test("other connections get their turn beside a stream that is always readable", async () => {
  const { ctx, conn, stream } = ready(() => {});
  stream.tryRead = (into) => {
    // Endless empty pongs, masked and without pings.
    for (let at = 0; at < into.length; at++) {
      into[at] = at % 6 === 0 ? 0x8a : at % 6 === 1 ? 0x80 : 0;
    }
    return into.length - into.length % 6;
  };
  stream.whenReadable = (ready) => {
    setTimeout(ready, 0);
  };
  for (let i = 0; i < 100; i++) await turn();
  assert(conn.stats().bytesReceived > 0);
  conn.terminate();
  await conn.closed;
  await ctx.shutdown({ timeout: 0 });
});

Deno.test("an unrequested or repeated notice has no effect", async () => {
  const { ctx, conn, stream, raw } = ready((conn, data) => conn.send(data));
  const { whenReadable } = stream;
  stream.whenReadable = (ready) =>
    whenReadable.call(stream, () => {
      ready();
      ready();
    });
  for (const text of ["a", "b", "c"]) {
    await raw.send(1, text);
    assertEquals((await raw.frame())!.payload.length, 1);
  }
  conn.terminate();
  await conn.closed;
  await ctx.shutdown({ timeout: 0 });
});
