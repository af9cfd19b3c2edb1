import { assert, assertEquals } from "@std/assert";
import zlib from "node:zlib";
import type { CloseRecord, ConnectionOptions } from "../../mod.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { compressed } from "../support/deflate.ts";
import { frameOf } from "../support/frames.ts";
import { type OpenRaw, RAW_LISTENERS, testRaw } from "../support/pair.ts";
import { until } from "../support/until.ts";
import { json } from "./helpers.ts";

// zlib may run out of memory in any call. That can't be provoked, so its handle is replaced. Both directions have the same
// prototype.

interface Handle {
  onerror(message: string, errno: number): void;
}

type Method = "writeSync" | "reset" | "init";
// deno-lint-ignore no-explicit-any -- not documented
const prototype = Object.getPrototypeOf((zlib.createInflateRaw() as any)._handle) as Record<
  Method,
  (this: Handle, ...args: unknown[]) => unknown
>;

let fault: { method: Method; how: "throws" | "reports"; from: number } | null = null;

// Each handle keeps the methods of its prototype from the time when it is made, so they are replaced before that.
for (const method of ["writeSync", "reset", "init"] as const) {
  const original = prototype[method];
  prototype[method] = function (...args) {
    if (fault?.method !== method || fault.from-- > 0) return original.apply(this, args);
    if (fault.how === "throws") throw new RangeError("Array buffer allocation failed");
    this.onerror("insufficient memory", zlib.constants.Z_MEM_ERROR);
  };
}

/** Makes the calls of a method fail from the call with index `from` on, by a throw or by an error code of zlib. */
function failing(method: Method, how: "throws" | "reports", from = 0): Disposable {
  fault = { method, how, from };
  return { [Symbol.dispose]: () => void (fault = null) };
}

async function serve(
  open: OpenRaw,
  options: ConnectionOptions = {},
  extensions = "permessage-deflate",
) {
  const log: string[] = [];
  const errors: unknown[] = [];
  const closed = Promise.withResolvers<CloseRecord>();
  const pair = await open({
    compression: { threshold: 0 },
    onMessage: () => void log.push("message"),
    onError: (_conn, error) => {
      log.push("error");
      errors.push(error);
    },
    onClose: (_conn, record) => {
      log.push("close");
      closed.resolve(record);
    },
    ...options,
  }, { extensions });
  assert(pair.conn.extensions !== "");
  return { ...pair, log, errors, closed: closed.promise };
}

const NO_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

for (const how of ["throws", "reports"] as const) {
  for (const method of ["writeSync", "init"] as const) {
    if (method === "init" && how === "reports") continue;
    for (const kind of ["a short message", "a long message", "many short ones", "a fragment"]) {
      testRaw(
        `a failure of zlib (${how} in ${method}) with ${kind} to compress leads to one error, then the close`,
        async (open) => {
          await using it = await serve(open);
          let sent = 0;
          {
            using _ = failing(method, how);
            if (kind === "a long message") it.conn.send(json(500_000));
            else if (kind === "a fragment") it.conn.sendFragment("begun");
            else it.conn.send("short");
            sent++;
            if (kind === "many short ones") {
              for (; sent < 2000; sent++) assertEquals(it.conn.send("short"), true);
            }
            await it.closed;
          }
          const record = await it.closed;
          assertEquals(it.log, ["error", "close"]);
          assertEquals(record.cause, it.errors[0]);
          assert(/allocation failed|insufficient memory/.test(String(record.cause)));
          assertEquals([record.code, record.wasClean], [1006, false]);
          assertEquals(record.unsentMessages, kind === "a fragment" ? 0 : sent);
          assert(record.unsentBytes > 0);
          assertEquals([it.conn.queuedBytes, workQueue.size], [0, 0]);
        },
      );
    }
  }

  for (
    const [name, length, from] of [["short", 100, 0], ["long", 3 << 20, 0], [
      "long",
      3 << 20,
      9,
    ]] as const
  ) {
    testRaw(
      `a failure of zlib (${how} at call ${from}) while a ${name} message is inflated leads to 1011`,
      async (open) => {
        await using it = await serve(open, { maxMessageSize: 0 });
        const packed = compressed(json(length));
        {
          using _ = failing("writeSync", how, from);
          await it.raw.send(frameOf(0xc2, packed));
          assertEquals(await it.raw.closeCode(), 1011);
        }
        it.raw.close();
        const record = await it.closed;
        assertEquals(it.log, ["error", "close"]);
        assertEquals(record.cause, it.errors[0]);
        assertEquals(workQueue.size, 0);
      },
    );
  }
}

testRaw(
  "a failure of zlib while a message is streamed fails the stream, and the connection with 1011",
  async (open) => {
    await using it = await serve(open, { maxMessageSize: 0, onMessage: undefined });
    // Not awaited: a stream of HTTP/2 takes no more than the consumer does.
    it.raw.send(frameOf(0xc2, compressed(json(3 << 20))));
    const { value } = await it.conn.messageStreams().next();
    const reader = value!.stream.getReader();
    await reader.read();
    {
      using _ = failing("writeSync", "throws");
      const code = it.raw.closeCode().finally(() => it.raw.close());
      let error: unknown;
      while (error === undefined) await reader.read().catch((reason) => error = reason);
      assertEquals(await code, 1011);
    }
    assertEquals(it.log.filter((entry) => entry === "error"), ["error"]);
  },
);

testRaw(
  "if zlib can't be reset between messages, the next one gets a new context",
  async (open) => {
    await using it = await serve(open, {}, NO_TAKEOVER);
    using _ = failing("reset", "throws");
    for (let i = 0; i < 3; i++) {
      await it.raw.send(frameOf(0xc2, compressed(json(1000))));
      await until(() => it.log.length === i + 1);
      it.conn.send(json(1000));
      const { payload } = (await it.raw.frame())!;
      assertEquals(new Uint8Array(zlib.inflateRawSync(payload, { finishFlush: 2 })), json(1000));
    }
    assertEquals(it.log, ["message", "message", "message"]);
  },
);

testRaw(
  "a failure of zlib in a broadcast ends each connection with its own error",
  async (open) => {
    await using it = await serve(open, {}, NO_TAKEOVER);
    {
      using _ = failing("writeSync", "throws");
      const { sent } = it.ctx.broadcast("to all");
      assertEquals(sent, 1);
      assertEquals((await it.closed).unsentMessages, 1);
    }
    assertEquals(it.log, ["error", "close"]);
  },
  RAW_LISTENERS,
);
