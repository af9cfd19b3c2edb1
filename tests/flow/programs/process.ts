// What keeps a process alive, and what must not end it. The first argument selects the case.
import { Context } from "../../../mod.ts";
import { rawListener, RawPeer, urlOf } from "../../support/raw_peer.ts";
import { turn } from "../../support/until.ts";

const name = Deno.args[0];
const ctx = new Context();

/** Connects to a raw server, which doesn't read and so doesn't keep the process alive. */
async function client(options = {}, before = false) {
  using listener = rawListener();
  const conn = ctx.connect(urlOf(listener), options);
  if (before) conn.unref();
  const raw = await RawPeer.accept(listener);
  await conn.opened;
  return { conn, raw };
}

async function stillRunning() {
  // Unhandled rejections are reported at the end of a turn.
  for (let i = 0; i < 5; i++) await turn();
  console.log("still running");
  Deno.exit(0);
}

switch (name) {
  case "failed connect, only onError": {
    const conn = ctx.connect("ws://127.0.0.1:1/", { onError() {} });
    conn.opened; // accessed, and not awaited
    await conn.closed;
    await stillRunning();
    break;
  }
  case "failed connect, nothing given": {
    const conn = ctx.connect("ws://127.0.0.1:1/");
    await conn.closed;
    conn.opened;
    await stillRunning();
    break;
  }
  case "every promise rejected, none awaited": {
    const { conn } = await client();
    conn.send(new Uint8Array(12 * 1024 * 1024));
    conn.drained();
    conn.ping();
    conn.ping("x", { timeout: 1 });
    conn.ping("y", { signal: AbortSignal.abort() });
    conn.terminate();
    conn.drained();
    await conn.closed;
    conn.drained();
    conn.opened;
    const cancelled = ctx.connect("ws://127.0.0.1:1/");
    cancelled.opened;
    cancelled.close();
    await stillRunning();
    break;
  }
  case "callbacks that reject": {
    const reject = () => Promise.reject(new Error("callback"));
    const { conn, raw } = await client({
      onConnect: reject,
      onMessage: reject,
      onPing: reject,
      onPong: reject,
      onDrain: reject,
      onError: reject,
      onClose: reject,
    });
    conn.send("x");
    await raw.send(1, "m");
    await raw.send(9);
    await raw.send(10);
    await raw.send(8);
    raw.close();
    await conn.closed;
    await stillRunning();
    break;
  }
  case "a listener":
    ctx.listen({ hostname: "127.0.0.1" });
    break;
  case "a listener, ref'ed again": {
    const listener = ctx.listen({ hostname: "127.0.0.1" });
    listener.unref();
    listener.ref();
    break;
  }
  case "a listener that was unref'ed":
    ctx.listen({ hostname: "127.0.0.1" }).unref();
    break;
  case "an open connection":
    await client();
    break;
  case "an open connection, ref'ed again": {
    const { conn } = await client();
    conn.unref();
    conn.ref();
    break;
  }
  case "a connection that was unref'ed": {
    const { conn } = await client();
    conn.unref();
    break;
  }
  case "a connection that was unref'ed before it was open":
    await client({}, true);
    break;
  case "timers of every kind, unref'ed": {
    const { conn } = await client({
      keepAlive: { interval: 50_000 },
      sendTimeout: 50_000,
      closeTimeout: 50_000,
    });
    conn.unref();
    conn.ping("x", { timeout: 50_000 });
    conn.send("x");
    break;
  }
  case "a context alone":
    break;
  default:
    throw new Error(`No such case: ${name}`);
}
console.log("reached the end");
Deno.unrefTimer(setTimeout(() => Deno.exit(7), 300));
