import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionClosedError, Context, HandshakeError } from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";
import { TimeShift } from "../support/virtual_clock.ts";

const FAST = { initial: 1, max: 8, factor: 2, jitter: 0 };

/** A server that answers its connections with `answers`, in order. */
function serving(ctx: Context, answers: (() => Response | boolean)[]) {
  let at = 0;
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => (answers[at++] ?? (() => true))(),
    onMessage: (conn, data) => {
      if (data === "close") conn.close(4000, "as asked");
      else if (data === "terminate") conn.terminate();
      else conn.send(data);
    },
  });
  return listener.url;
}

Deno.test("reconnect: after every end the iterator returns the next connection, which is open", async () => {
  await using ctx = new Context();
  const url = serving(ctx, []);
  const ends = ["close", "terminate", "own", "own"];
  const errors: unknown[] = [];
  let count = 0;
  for await (
    const conn of ctx.reconnect(url, {
      backoff: FAST,
      onRetry: (error) => errors.push(error),
    })
  ) {
    assertEquals(conn.state, "open");
    const end = ends[count++];
    if (end === undefined) break;
    if (end === "own") conn.close();
    else conn.send(end);
  }
  assertEquals(count, 5);
  const codes = errors.map((error) => (error as ConnectionClosedError).close?.code);
  assert(errors.every((error) => error instanceof ConnectionClosedError));
  assertEquals(codes, [4000, 1006, 1000, 1000]);
});

Deno.test("reconnect: break and throw in the loop close the connection with 1000", async () => {
  await using ctx = new Context();
  const closes = new EventLog<number>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage: () => {},
    onClose: (_, { code }) => closes.push(code),
  });
  for await (const _ of ctx.reconnect(listener.url)) break;
  assertEquals(await closes.next(), 1000);
  await assertRejects(
    async () => {
      for await (const _ of ctx.reconnect(listener.url)) throw new Error("mine");
    },
    Error,
    "mine",
  );
  assertEquals(await closes.next(), 1000);
});

Deno.test("reconnect: the delay grows to its maximum, and is reset after a connection that lived longer than that", async () => {
  using time = new TimeShift();
  await using ctx = new Context();
  const busy = () => new Response("", { status: 503 });
  const url = serving(ctx, [busy, busy, busy, busy, busy]);
  const delays: number[] = [];
  let count = 0;
  for await (
    const conn of ctx.reconnect(url, {
      backoff: { ...FAST, max: 500 },
      onRetry: (_, delay) => delays.push(delay),
    })
  ) {
    if (++count === 3) break;
    // The first connection lives longer than `max`, the second one doesn't.
    if (count === 1) time.ahead += 500;
    conn.terminate();
  }
  assertEquals(delays, [1, 2, 4, 8, 16, 1, 2]);
});

Deno.test("reconnect: no delay is longer than the maximum", async () => {
  await using ctx = new Context();
  const url = serving(ctx, Array(6).fill(() => new Response("", { status: 500 })));
  const delays: number[] = [];
  const options = { backoff: FAST, onRetry: (_: unknown, delay: number) => delays.push(delay) };
  for await (const _ of ctx.reconnect(url, options)) break;
  assertEquals(delays, [1, 2, 4, 8, 8, 8]);
});

Deno.test("reconnect: jitter shortens each delay by a random share", async () => {
  await using ctx = new Context();
  const url = serving(ctx, Array(20).fill(() => new Response("", { status: 500 })));
  const delays: number[] = [];
  for await (
    const _ of ctx.reconnect(url, {
      backoff: { initial: 4, max: 4, jitter: 0.5 },
      onRetry: (_, delay) => delays.push(delay),
    })
  ) break;
  assertEquals(delays.length, 20);
  assert(delays.every((delay) => delay > 2 && delay <= 4), String(delays));
  assert(new Set(delays).size > 10);
});

for (const status of [400, 401, 403, 404, 426]) {
  Deno.test(`reconnect: a refusal with ${status} ends the iteration with that error`, async () => {
    await using ctx = new Context();
    const url = serving(ctx, [() => new Response("", { status })]);
    const iterator = ctx.reconnect(url, { backoff: FAST })[Symbol.asyncIterator]();
    const error = await assertRejects(() => iterator.next(), HandshakeError);
    assertEquals(error.status, status);
    assertEquals((await iterator.next()).done, true);
  });
}

for (const status of [408, 425, 429, 500, 503]) {
  Deno.test(`reconnect: a refusal with ${status} leads to another attempt`, async () => {
    await using ctx = new Context();
    const url = serving(ctx, [() => new Response("", { status })]);
    for await (const conn of ctx.reconnect(url, { backoff: FAST })) {
      assertEquals(conn.state, "open");
      break;
    }
  });
}

for (const secure of [false, true]) {
  Deno.test(`reconnect: a server that disconnects during the handshake leads to another attempt, TLS: ${secure}`, async () => {
    await using ctx = new Context();
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const scheme = secure ? "wss" : "ws";
    let attempts = 0;
    const serving = (async () => {
      for await (const conn of listener) {
        attempts++;
        await conn.read(new Uint8Array(4096));
        conn.close();
        if (attempts === 3) break;
      }
    })();
    const controller = new AbortController();
    const iterator = ctx.reconnect(`${scheme}://127.0.0.1:${listener.addr.port}`, {
      backoff: FAST,
      signal: controller.signal,
      onRetry: () => attempts === 3 && controller.abort(),
    })[Symbol.asyncIterator]();
    await assertRejects(() => iterator.next(), DOMException);
    await serving;
    assertEquals(attempts, 3);
  });
}

Deno.test("reconnect: Retry-After lengthens the delay, as seconds or as a date, to an hour at most", async () => {
  await using ctx = new Context();
  const date = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString();
  for (
    const [value, least, most] of [
      ["1", 1000, 1000],
      ["86400", 3_600_000, 3_600_000],
      [date(100), 95_000, 101_000],
      [date(-100), 1, 1],
      ["soon", 1, 1],
      ["-1", 1, 1],
      ["9".repeat(400), 3_600_000, 3_600_000],
    ] as const
  ) {
    const headers = { "retry-after": value };
    const url = serving(ctx, [() => new Response("", { status: 429, headers })]);
    const aborted = new AbortController();
    let waited = -1;
    const iterator = ctx.reconnect(url, {
      backoff: FAST,
      signal: aborted.signal,
      onRetry: (_, delay) => {
        waited = delay;
        aborted.abort();
      },
    })[Symbol.asyncIterator]();
    await assertRejects(() => iterator.next(), DOMException);
    assert(waited >= least && waited <= most, `${value}: ${waited}`);
  }
});

Deno.test("reconnect: retryable decides after errors and after closes, also asynchronously", async () => {
  await using ctx = new Context();
  const url = serving(ctx, [() => new Response("", { status: 401 })]);
  const asked: string[] = [];
  const iterator = ctx.reconnect(url, {
    backoff: FAST,
    retryable: async (error) => {
      await null;
      asked.push((error as Error).name);
      return !(error instanceof ConnectionClosedError);
    },
  })[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  value!.terminate();
  const error = await assertRejects(() => iterator.next(), ConnectionClosedError);
  assertEquals([error.close?.code, asked], [1006, ["HandshakeError", "ConnectionClosedError"]]);
});

Deno.test("reconnect: a retryable that throws ends the iteration, and the signal ends a retryable that never settles", async () => {
  await using ctx = new Context();
  const refuse = () => new Response("", { status: 503 });
  const failing = ctx.reconnect(serving(ctx, [refuse]), {
    retryable: () => {
      throw new Error("mine");
    },
  })[Symbol.asyncIterator]();
  await assertRejects(() => failing.next(), Error, "mine");
  const aborted = new AbortController();
  const hanging = ctx.reconnect(serving(ctx, [refuse]), {
    signal: aborted.signal,
    retryable: () => {
      queueMicrotask(() => aborted.abort());
      return new Promise<boolean>(() => {});
    },
  })[Symbol.asyncIterator]();
  assertEquals((await assertRejects(() => hanging.next(), DOMException)).name, "AbortError");
});

Deno.test("reconnect: the signal ends a delay, an attempt and a connection", async () => {
  await using ctx = new Context();
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  const name = async (work: Promise<unknown>) => {
    const error = await assertRejects(() => work, DOMException);
    return (error as DOMException).name;
  };
  {
    const aborted = new AbortController();
    const iterator = ctx.reconnect(`ws://127.0.0.1:${gone.addr.port}`, {
      backoff: { initial: 1_000_000 },
      signal: aborted.signal,
      onRetry: () => queueMicrotask(() => aborted.abort()),
    })[Symbol.asyncIterator]();
    assertEquals(await name(iterator.next()), "AbortError");
  }
  {
    const aborted = new AbortController();
    const iterator = ctx.reconnect(`ws://127.0.0.1:${silent.addr.port}`, { signal: aborted.signal })
      [Symbol.asyncIterator]();
    const next = iterator.next();
    using _accepted = await silent.accept();
    aborted.abort();
    assertEquals(await name(next), "AbortError");
  }
  {
    const aborted = new AbortController();
    const iterator = ctx.reconnect(serving(ctx, []), { signal: aborted.signal })
      [Symbol.asyncIterator]();
    const { value: conn } = await iterator.next();
    aborted.abort();
    assertEquals((await conn!.closed).initiator, "local");
    assertEquals(await name(iterator.next()), "AbortError");
  }
  assertEquals(
    await name(
      ctx.reconnect("ws://127.0.0.1:1", { signal: AbortSignal.abort() })[Symbol.asyncIterator]()
        .next(),
    ),
    "AbortError",
  );
  silent.close();
});

Deno.test("reconnect: shutdown ends the iteration without an error, during a delay and with a connection", async () => {
  const server = new Context(), ctx = new Context();
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  const waiting = ctx.reconnect(`ws://127.0.0.1:${gone.addr.port}`, {
    backoff: { initial: 1_000_000 },
    onRetry: () => queueMicrotask(() => connected.resolve()),
  })[Symbol.asyncIterator]();
  const connected = Promise.withResolvers<void>();
  const next = waiting.next();
  const open = ctx.reconnect(serving(server, []))[Symbol.asyncIterator]();
  assertEquals((await open.next()).value!.state, "open");
  await connected.promise;
  await ctx.shutdown();
  assertEquals([(await next).done, (await open.next()).done], [true, true]);
  assertThrows(() => ctx.reconnect("ws://127.0.0.1:1"), Error);
  await server.shutdown();
});

Deno.test("reconnect: arguments are checked at the call, and the result can be iterated once", async () => {
  await using ctx = new Context();
  assertThrows(() => ctx.reconnect("nonsense"), TypeError);
  for (
    const options of [
      { backoff: 1 },
      { backoff: { initial: -1 } },
      { backoff: { factor: 0.5 } },
      { backoff: { jitter: 2 } },
      { backoff: { max: NaN } },
      { retryable: 1 },
      { onRetry: "x" },
      { connectTimeout: -1 },
    ]
  ) {
    assertThrows(() => ctx.reconnect("ws://127.0.0.1:1", options as never), Error, "Cannot ");
  }
  const once = ctx.reconnect("ws://127.0.0.1:1");
  once[Symbol.asyncIterator]();
  assertThrows(() => once[Symbol.asyncIterator](), TypeError, "iterate twice");
});

Deno.test("reconnect: onError and onClose are called for each attempt", async () => {
  await using ctx = new Context();
  const url = serving(ctx, [() => new Response("", { status: 503 })]);
  const events: string[] = [];
  for await (
    const conn of ctx.reconnect(url, {
      backoff: FAST,
      onError: () => events.push("error"),
      onClose: () => events.push("close"),
      onConnect: () => void events.push("connect"),
    })
  ) {
    conn.close();
    await conn.closed;
    break;
  }
  assertEquals(events.join(" "), "error close connect close");
});
