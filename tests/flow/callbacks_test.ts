import { assert, assertEquals } from "@std/assert";
import { type Connection, type ConnectionHandlers, Context, HandshakeError } from "../../mod.ts";
import { rawHost, rawPeer, testPair } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { rawListener, RawPeer, urlOf } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { unlessGone } from "../support/failure.ts";

const CALLBACKS = ["onConnect", "onMessage", "onPing", "onPong", "onDrain"] as const;

/** Makes the peer do what leads to the call of each callback. */
async function provoke({ conn, raw }: { conn: Connection; raw: { send: Raw } }): Promise<void> {
  await raw.send(1, "m");
  await raw.send(9, "p");
  await raw.send(10, "q");
  conn.send("x");
}
type Raw = (opcode: number, payload?: string) => Promise<void>;

for (const how of ["throws", "rejects"] as const) {
  for (const name of CALLBACKS) {
    Deno.test(`${name} that ${how} is reported to onError, and the connection continues`, async () => {
      const failure = new Error(name);
      const errors: unknown[] = [], messages: unknown[] = [];
      const handlers: ConnectionHandlers = {
        onMessage: (_, data) => messages.push(data),
        onError: (_, error) => errors.push(error),
      };
      handlers[name] = how === "throws"
        ? () => {
          throw failure;
        }
        : () => Promise.reject(failure);
      await using peer = await rawPeer(handlers as Record<string, never>);
      await provoke(peer);
      await until(() => errors.length > 0);
      assert(errors[0] === failure);
      await peer.raw.send(9, "still there");
      while (new TextDecoder().decode((await peer.raw.next(10)).payload) !== "still there");
      if (name !== "onMessage") assertEquals(messages, ["m"]);
      assertEquals(peer.conn.state, "open");
      assertEquals(errors.length, name === "onPing" ? 2 : 1);
    });
  }

  Deno.test(`onClose and onError that ${how} are reported only to the console`, async () => {
    const said: unknown[] = [];
    const { error } = console;
    console.error = (...args) => said.push(args.at(-1));
    try {
      const fail = (text: string) => () => {
        if (how === "throws") throw text;
        return Promise.reject(text);
      };
      {
        await using peer = await rawPeer({ onClose: fail("close") });
        peer.conn.terminate();
        await peer.conn.closed;
      }
      {
        await using peer = await rawPeer({ onError: fail("error"), onClose: fail("close") });
        peer.raw.close();
        await peer.conn.closed;
      }
      await turn();
      assertEquals(said, ["close", "error", "error"]);
    } finally {
      console.error = error;
    }
  });
}

for (const name of CALLBACKS) {
  for (const act of ["close", "terminate", "shutdown", "pause"] as const) {
    Deno.test(`${act} in ${name} leads to one onClose at the end, and to no message after it`, async () => {
      const log: string[] = [];
      let acted = false;
      const ctx = new Context();
      const handlers: ConnectionHandlers = {
        onMessage: () => log.push("message"),
        onError: (_, error) => log.push(`error ${error}`),
        onClose: () => log.push("close"),
      };
      handlers[name] = (conn: Connection) => {
        if (acted) {
          if (name === "onMessage") log.push("message");
          return;
        }
        acted = true;
        if (act === "shutdown") ctx.shutdown({ timeout: 1000 });
        else conn[act]();
        log.push(act);
        if (act === "pause") queueMicrotask(() => conn.resume());
      };
      const opened = Promise.withResolvers<void>();
      using server = rawListener();
      const conn = ctx.connect(urlOf(server), handlers);
      const raw = await RawPeer.accept(server);
      conn.opened.then(() => opened.resolve(), () => opened.resolve());
      await opened.promise;
      // All frames in one segment; the last one is a close frame.
      const bytes = join([
        raw.encode(1, "m"),
        raw.encode(9, "p"),
        raw.encode(10, "q"),
        raw.encode(1, "n"),
      ]);
      // Only terminate ends the connection before the peer has closed.
      const written = act === "terminate" ? unlessGone : (writing: Promise<unknown>) => writing;
      await written(raw.write(bytes));
      if (conn.state === "open") conn.send("x");
      await until(() => acted);
      await written(raw.send(8));
      await unlessGone(raw.conn.closeWrite());
      const record = await conn.closed;
      await turn();
      raw.close();
      assertEquals(conn.state, "closed");
      assertEquals(log.filter((entry) => entry === "close").length, act === "close" ? 2 : 1);
      assertEquals(log.at(-1), "close");
      assertEquals(log.filter((entry) => entry.startsWith("error")), []);
      assertEquals(record.wasClean, act !== "terminate");
      if (act !== "pause") {
        assertEquals(log.slice(log.indexOf(act) + 1).includes("message"), false);
      } else {
        assertEquals(
          log.filter((entry) => entry === "message").length,
          name === "onMessage" ? 1 : 2,
        );
      }
      await ctx.shutdown();
    });
  }
}

for (const act of ["close", "terminate", "shutdown"] as const) {
  Deno.test(`${act} in onError and onClose has no bad effects`, async () => {
    const log: string[] = [];
    await using peer = await rawPeer({
      onError(conn, error) {
        log.push((error as Error).name);
        if (act === "shutdown") peer.ctx.shutdown();
        else conn[act]();
      },
      onClose(conn, close) {
        log.push(`close ${close.code}`);
        if (act === "shutdown") peer.ctx.shutdown();
        else conn[act]();
      },
    });
    await peer.raw.write(new Uint8Array([0xf0, 0x80])); // reserved bits
    if (act !== "terminate") {
      assertEquals((await peer.raw.next(8)).payload[1], 1002 & 255);
      // Nothing else is sent, whatever the callback has done.
      assertEquals(await peer.raw.frames(), []);
      peer.raw.close();
    }
    const close = await peer.conn.closed;
    await turn();
    assertEquals(log, ["ProtocolError", "close 1006"]);
    assertEquals(close.received, null);
    assertEquals((close.cause as Error).name, "ProtocolError");
    assertEquals(peer.conn.state, "closed");
  });

  Deno.test(`${act} in the onError of a failed connect has no bad effects`, async () => {
    const log: string[] = [];
    const ctx = new Context();
    const conn = ctx.connect("ws://127.0.0.1:1/", {
      onError(conn, error) {
        log.push((error as Error).name);
        if (act === "shutdown") ctx.shutdown();
        else conn[act]();
      },
      onClose: (_, close) => log.push(`close ${(close.cause as Error).name}`),
    });
    const reason = await conn.opened.then(() => null, (error) => error);
    await conn.closed;
    await turn();
    assertEquals(log, [reason.name, `close ${reason.name}`]);
    assert(reason.name !== "AbortError");
    await ctx.shutdown();
  });
}

Deno.test("callbacks are called in order: connect, messages, error, close", async () => {
  const log: string[] = [];
  await using peer = await rawHost({
    onConnect: () => log.push("connect"),
    onMessage: (_, data) => log.push(data as string),
    onError: () => log.push("error"),
    onClose: () => log.push("close"),
  }, { early: new Uint8Array([0x81, 1, 0x61, 0x81, 1, 0x62, 0xff]) });
  await peer.raw.next(8);
  peer.raw.close();
  await peer.conn.closed;
  assertEquals(log, ["connect", "a", "b", "error", "close"]);
});

Deno.test("onError is called for a refused connect before onClose, and not for a cancelled one", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1", onHandshake: () => false });
  const log: unknown[] = [];
  const handlers: ConnectionHandlers = {
    onError: (_, error) => log.push(error instanceof HandshakeError && error.status),
    onClose: (_, close) => log.push(close.code),
  };
  await ctx.connect(listener.url, handlers).closed;
  assertEquals(log, [403, 1006]);
  const cancelled = ctx.connect(listener.url, handlers);
  const rejected = cancelled.opened.then(() => "opened", (error) => {
    log.push(error.name);
  });
  cancelled.close();
  await rejected;
  await cancelled.closed;
  const abort = new AbortController();
  const aborted = ctx.connect(listener.url, { ...handlers, signal: abort.signal });
  abort.abort();
  await aborted.closed;
  assertEquals(log, [403, 1006, "AbortError", 1006, 1006]);
});

testPair("onError isn't called for a clean close by either side", async (pair) => {
  for (const side of ["client", "server"] as const) {
    const errors: unknown[] = [];
    const onError = (_: Connection, error: unknown) => errors.push(error);
    await using both = await pair({ onError }, { onError });
    both[side].close(3000, "bye");
    await both.client.closed;
    await both.server.closed;
    assertEquals(errors, []);
  }
});

Deno.test("a maskGenerator fills the key of each frame; its error is reported, and a random key used", async () => {
  const errors: unknown[] = [];
  let calls = 0;
  await using peer = await rawHost({
    maskGenerator(key) {
      if (++calls === 2) throw new Error("no key");
      key.set([1, 2, 3, 4]);
    },
    onError: (_, error) => errors.push((error as Error).message),
  });
  peer.conn.send("a");
  peer.conn.send("b");
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "a");
  assertEquals(new TextDecoder().decode((await peer.raw.frame())!.payload), "b");
  assertEquals(errors, ["no key"]);
});
