/** Helpers of the parity tests: connected pairs, lists of events, and raw peers. */
import type {
  ConnectionOptions,
  ConnectOptions,
  ContextOptions,
  ListenOptions,
} from "../../mod.ts";
import { type Pair, pair as connected } from "../support/pair.ts";
import {
  type Changes,
  rawListener,
  RawPeer,
  upgradeRequest,
  upgradeResponse,
  urlOf,
} from "../support/raw_peer.ts";
import { mayFail } from "../support/failure.ts";

const decoder = new TextDecoder();

/** Connects a client to a listener; resolves when both ends are open. */
export function pair(
  listen: ListenOptions = {},
  connect: ConnectOptions = {},
  context: ContextOptions = {},
): Promise<Pair> {
  return connected(listen, connect, "1.1", context);
}

/** Exchanges messages of several sizes on another connection, which takes some turns of the event loop. */
export async function busy(): Promise<void> {
  await using both = await pair({ onMessage: (conn, data) => conn.send(data) });
  for (let i = 0; i < 20; i++) {
    both.client.send(new Uint8Array(1 << i % 17).fill(0xee));
    await both.client.receive();
  }
}

/** A list of events: `next` waits for the next one, `take` for several. */
export class Events<T> {
  readonly all: T[] = [];
  #taken = 0;
  #wake: (() => void) | null = null;

  push(event: T): void {
    this.all.push(event);
    this.#wake?.();
  }

  async next(): Promise<T> {
    while (this.all.length <= this.#taken) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.all[this.#taken++];
  }

  async take(count: number): Promise<T[]> {
    const events = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }
}

/** Options that record every callback as `name` or `name: detail`. */
export function recorder(events: Events<string>): ConnectionOptions {
  return {
    onConnect: () => events.push("connect"),
    onMessage: (_conn, data) => events.push(`message: ${data}`),
    onClose: (_conn, { code, reason }) => events.push(`close: ${code} ${reason}`),
    onError: (_conn, error) => events.push(`error: ${(error as Error).name}`),
    onPing: (_conn, payload) => events.push(`ping: ${decoder.decode(payload)}`),
    onPong: (_conn, payload) => events.push(`pong: ${decoder.decode(payload)}`),
    onDrain: () => events.push("drain"),
  };
}

/** Connects by TCP and performs the handshake. A response other than 101 is left in `head`. */
export async function rawClient(
  port: number,
  changes: Changes = {},
  path = "/",
): Promise<RawPeer> {
  const peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest(changes, `GET ${path} HTTP/1.1`));
  await peer.readHead();
  return peer;
}

/** A server that reads the head of one request, and then calls a function of the test. */
export async function rawServer(
  serve: (peer: RawPeer) => Promise<void> | void,
): Promise<{ url: string; port: number; done: Promise<void>; close(): void }> {
  const listener = rawListener();
  const { port } = listener.addr;
  const done = (async () => {
    const conn = await mayFail(listener.accept(), "a test may close it before");
    if (conn === undefined) return;
    using peer = new RawPeer(conn, "server");
    await peer.readHead();
    await serve(peer);
  })();
  mayFail(done, "some tests await it");
  return await Promise.resolve({
    url: urlOf(listener),
    port,
    done,
    close: () => listener.close(),
  });
}

/** The 101 response to a peer's head. */
export function accept(peer: RawPeer): Uint8Array {
  return upgradeResponse(peer.head);
}
