import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { type AdoptOptions, type Connection, Context } from "../../mod.ts";
import { MemoryConn, ReadyConn } from "../support/memory_conn.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

const FAILURE = new Error("the stream says no");

/** Ways in which a method of a foreign stream may misbehave. */
const MISDEEDS: Record<string, () => unknown> = {
  throws: () => {
    throw FAILURE;
  },
  rejects: () => Promise.reject(FAILURE),
  "never settles": () => new Promise(() => {}),
  "returns nothing": () => undefined,
  "returns nonsense": () => Promise.resolve(-1),
  "returns too much": () => Promise.resolve(1e9),
  "has a thenable that throws": () => ({
    then() {
      throw FAILURE;
    },
  }),
  "has a thenable that calls back twice": () => ({
    then(resolve: (count: number) => void, reject: (error: unknown) => void) {
      setTimeout(() => {
        resolve(1);
        resolve(1);
        reject(FAILURE);
      }, 0);
    },
  }),
};

interface Told {
  closes: number;
  errors: unknown[];
}

/** Adopts a stream, and records what is reported about it. */
function adopt(ctx: Context, stream: MemoryConn, told: Told, options: AdoptOptions): Connection {
  return ctx.adopt(stream, {
    handshake: false,
    closeTimeout: 40,
    keepAlive: false,
    onMessage() {},
    onError: (_, error) => void told.errors.push(error),
    onClose: () => void told.closes++,
    ...options,
  });
}

async function outcome(method: string, misdeed: () => unknown, role: "server" | "client") {
  const unhandled: unknown[] = [];
  const keep = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", keep);
  const ctx = new Context();
  const [ours, theirs] = method.startsWith("try") || method.startsWith("when")
    ? ReadyConn.pair(100)
    : MemoryConn.pair(100);
  using raw = new RawPeer(theirs, role === "server" ? "client" : "server");
  mayFail(raw.frames(), "the stream may end within a frame");
  const told: Told = { closes: 0, errors: [] };
  let calls = 0;
  const replaced = ours as unknown as Record<string, () => unknown>;
  const proper = ours.close;
  replaced[method] = () => {
    calls++;
    return misdeed();
  };
  try {
    const conn = adopt(ctx, ours, told, { role });
    conn.unref();
    conn.ref();
    conn.send("hello");
    // More than the pipe holds, so that the write has to wait.
    conn.send("x".repeat(200));
    await turn();
    conn.close();
    conn.close();
    await until(() => conn.state === "closed");
    const record = await conn.closed;
    await turn();
    assertEquals([unhandled, told.closes], [[], 1]);
    assert(told.errors.length <= 1, `${told.errors.length} errors`);
    assertEquals([conn.queuedBytes, ctx.connections.size], [0, 0]);
    return { record, told, calls, closes: ours.closes };
  } finally {
    if (method === "close") proper.call(ours);
    globalThis.removeEventListener("unhandledrejection", keep);
  }
}

const METHODS = ["read", "write", "closeWrite", "close", "ref", "unref"];

for (const method of METHODS) {
  for (const [name, misdeed] of Object.entries(MISDEEDS)) {
    Deno.test(`fault 18: a stream whose ${method}() ${name} ends its connection once, with one record`, async () => {
      for (const role of ["server", "client"] as const) {
        const { record, told, calls, closes } = await outcome(method, misdeed, role);
        if (method === "read" || method === "write") {
          assert(calls > 0);
          assertEquals([record.code, record.wasClean], [1006, false]);
          assertInstanceOf(record.cause, Error);
          if (name === "throws" || name === "rejects") assertEquals(record.cause, FAILURE);
          // The failure is reported if it came before our own close.
          if (told.errors.length > 0) assertEquals(told.errors, [record.cause]);
        }
        if (method === "close") assertEquals(calls, 1);
        else assertEquals(closes, 1);
      }
    });
  }
}

for (const method of ["tryWrite", "whenWritable"]) {
  for (const name of ["throws", "returns nothing", "returns nonsense"]) {
    Deno.test(`fault 18: a stream whose ${method}() ${name} ends its connection once, with one record`, async () => {
      const { record, calls, closes } = await outcome(method, MISDEEDS[name], "server");
      assert(calls > 0);
      assertEquals([record.code, closes], [1006, 1]);
    });
  }
}

Deno.test("fault 18: a connection ends when the owner of its stream closes that", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const sends of [false, true]) {
    const ctx = new Context();
    const told: Told = { closes: 0, errors: [] };
    using peer = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    const accepted = await listener.accept();
    const conn = adopt(ctx, accepted as unknown as MemoryConn, told, {});
    await conn.opened;
    accepted.close();
    if (sends) conn.send("too late");
    const record = await conn.closed;
    assertEquals([record.code, told.closes, told.errors], [1006, 1, [record.cause]]);
    assertInstanceOf(record.cause, Error);
    conn.ref();
    conn.unref();
    assert(peer !== null);
    await ctx.shutdown();
  }
});
