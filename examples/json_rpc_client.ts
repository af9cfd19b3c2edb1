/**
 * JSON-RPC 2.0: a client with calls, notifications, time limits and cancellation, and a server that answers out of order
 * and bounds how much is under way.
 *
 *     deno run --allow-net examples/json_rpc_client.ts
 *
 * Try it: it shows itself at work and ends.
 *
 * @module
 */
import { type Connection, Context, type ReceivedMessage } from "@sluice/websocket";

/** An error that the other side has answered with. */
class RpcError extends Error {
  override readonly name = "RpcError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

// ---- The client ----------------------------------------------------------------------------------------------------

/** Calls over one connection. */
class RpcClient {
  readonly #conn: Connection;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  constructor(conn: Connection) {
    this.#conn = conn;
    conn.on({ onMessage: (_conn, data) => this.#receive(data) });
    conn.closed.then((close) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`No answer: ${close}`));
      this.#waiting.clear();
    });
  }

  /** Calls a method and waits for its answer. */
  async call(
    method: string,
    params: unknown,
    { timeout = 10_000, signal }: { timeout?: number; signal?: AbortSignal } = {},
  ): Promise<unknown> {
    signal?.throwIfAborted();
    const id = ++this.#last;
    const answer = Promise.withResolvers<unknown>();
    const timer = setTimeout(
      () => answer.reject(new Error(`No answer to ${method} in time`)),
      timeout,
    );
    const abort = () => answer.reject(signal!.reason);
    signal?.addEventListener("abort", abort);
    this.#waiting.set(id, answer);
    try {
      this.#conn.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
      // Calls beyond the queue's limit wait here.
      await this.#conn.drained();
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      this.#waiting.delete(id);
    }
  }

  /** Sends a notification, which has no answer. */
  notify(method: string, params: unknown): void {
    this.#conn.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }

  #receive(data: ReceivedMessage): void {
    let response: { id?: number; result?: unknown; error?: { code: number; message: string } };
    try {
      response = JSON.parse(String(data));
    } catch {
      return this.#conn.close(1007, "not JSON");
    }
    // An answer that came too late: its call has ended.
    const answer = this.#waiting.get(response.id ?? -1);
    const { error } = response;
    if (error === undefined) answer?.resolve(response.result);
    else answer?.reject(new RpcError(error.code, error.message));
  }
}

// ---- The server ----------------------------------------------------------------------------------------------------

type Method = (params: never) => unknown;

const METHODS: Record<string, Method> = {
  add: (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0),
  sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms, `slept ${ms} ms`)),
  log: (text: string) => console.log(`server: told ${text}`),
};
/** The most calls of one client that may be under way; later ones wait at the client. */
const MOST = 16;

interface Caller {
  running: number;
}

async function answer(conn: Connection<Caller>, data: ReceivedMessage): Promise<void> {
  if (++conn.data.running === MOST) conn.pause();
  const response = await respond(data);
  if (conn.data.running-- === MOST) conn.resume();
  if (response !== null && conn.state === "open") conn.send(JSON.stringify(response));
}

async function respond(data: ReceivedMessage): Promise<object | null> {
  const failure = (id: unknown, code: number, message: string) => ({
    jsonrpc: "2.0",
    id,
    error: { code, message },
  });
  let request: { id?: unknown; method?: unknown; params?: unknown } | null;
  try {
    request = JSON.parse(String(data));
  } catch {
    return failure(null, -32700, "Parse error");
  }
  if (typeof request?.method !== "string") return failure(null, -32600, "Invalid Request");
  const { id, method, params } = request;
  // Own members only: every object inherits "constructor".
  if (!Object.hasOwn(METHODS, method)) return failure(id ?? null, -32601, "Method not found");
  try {
    const result = await METHODS[method](params as never);
    return id === undefined ? null : { jsonrpc: "2.0", id, result: result ?? null };
  } catch {
    return id === undefined ? null : failure(id, -32603, "Internal error");
  }
}

await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  maxMessageSize: 64 * 1024,
  onHandshake: () => ({ data: { running: 0 } }),
  // Nothing is returned, so the next call needn't wait for this one.
  onMessage: (conn, data) => void answer(conn, data),
});

const conn = ctx.connect(listener.url);
await conn.opened;
const rpc = new RpcClient(conn);
const order: string[] = [];
const calls = [30, 1].map(async (ms) => order.push(`${await rpc.call("sleep", ms)}`));
await Promise.all(calls);
console.log(`client: out of order: ${order.join(", ")}`);
console.log(`client: 1 + 2 + 39 = ${await rpc.call("add", [1, 2, 39])}`);
rpc.notify("log", "something");
await rpc.call("constructor", []).catch(({ code, message }) =>
  console.log(`client: ${code} ${message}`)
);
await rpc.call("sleep", 1000, { timeout: 20 }).catch(({ message }) =>
  console.log(`client: ${message}`)
);
await rpc.call("sleep", 1000, { signal: AbortSignal.timeout(20) })
  .catch(({ name }) => console.log(`client: cancelled by a ${name}`));
const sums = await Promise.all(Array.from({ length: 100 }, (_, i) => rpc.call("add", [i, 1])));
console.log(`client: ${sums.length} calls at once, the last answer is ${sums.at(-1)}`);
const lost = rpc.call("sleep", 1000);
conn.close();
await lost.catch(({ message }) => console.log(`client: ${message}`));
