import { setImmediate } from "node:timers";
import { parseRequestHead } from "../src/handshake/request_head.ts";
import { acquire, release } from "../src/memory/buffer_pool.ts";
import { HttpConnection, type HttpHost } from "../src/server/http/http_connection.ts";
import type { PeerInfo } from "../src/server/peer_info.ts";
import type { Transport } from "../src/transport/transport.ts";
import { Timers } from "../src/util/timers.ts";
import { join } from "../tests/support/bytes.ts";
import { finding, same, type Target, toBytes, toText } from "./target.ts";
import type { Random } from "./random.ts";

// Requests of ordinary HTTP in a row: the handler gets the same requests and the client the same responses, wherever the
// stream is cut.

const ADDRESS: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 80 };
const INFO: PeerInfo = { remoteAddr: ADDRESS, localAddr: ADDRESS };
const FIRST = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
// Turns of the event loop after which nothing new happens.
const TURNS = 12;

/** A client in memory: sends its pieces one by one, reads everything, and leaves when nothing happens any more. */
class Client implements Transport {
  readonly written: Uint8Array[] = [];
  #pieces: Uint8Array[];
  #waiting: ((count: number | null) => void) | null = null;
  #closed = false;

  constructor(pieces: Uint8Array[]) {
    this.#pieces = [...pieces];
  }

  async read(into: Uint8Array): Promise<number | null> {
    await turn();
    if (this.#closed) return null;
    const piece = this.#pieces.shift();
    if (piece === undefined) return await new Promise((resolve) => this.#waiting = resolve);
    const count = Math.min(piece.length, into.length);
    into.set(piece.subarray(0, count));
    if (count < piece.length) this.#pieces.unshift(piece.subarray(count));
    return count;
  }

  async write(data: Uint8Array): Promise<number> {
    if (this.#closed) throw new Deno.errors.BadResource();
    const count = Math.min(data.length, 1000);
    this.written.push(data.slice(0, count));
    await null;
    return count;
  }

  closeWrite(): Promise<void> {
    this.leave();
    return Promise.resolve();
  }

  close(): void {
    this.#closed = true;
    this.leave();
  }

  /** Whether it has sent everything, and the server has read all of it. */
  get silent(): boolean {
    return this.#waiting !== null || this.#closed;
  }

  leave(): void {
    this.#pieces = [];
    this.#waiting?.(null);
    this.#waiting = null;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The requests that the handler got, the responses, and how the connection ended. */
async function exchange(pieces: Uint8Array[]): Promise<unknown> {
  const asked: string[] = [];
  const host: HttpHost = {
    handler: async (request) => {
      const { pathname } = new URL(request.url);
      asked.push(`${request.method} ${pathname}`);
      const body = pathname === "/unread"
        ? ""
        : toText(new Uint8Array(await request.arrayBuffer()));
      asked.push(`read ${body}`);
      return new Response(`${pathname} ${body.length}`);
    },
    limits: { maxHeaderBytes: 2048, maxHeaderFields: 16, httpIdleTimeout: Infinity },
    timers: new Timers(),
    refused: () => {},
    visit: null,
    makeOffer: null,
  };
  const client = new Client(pieces);
  const connection = new HttpConnection(client, false, INFO, new Uint8Array(0), host);
  const run = connection.run(parseRequestHead(FIRST), FIRST);
  let isOver = false;
  run.then(() => isOver = true, () => isOver = true);
  for (let turns = 0; turns < TURNS && !isOver; turns++) {
    await turn();
    if (!client.silent) turns = 0;
  }
  client.leave();
  const upgrade = await run;
  // A 100 response isn't needed if the body is there already.
  const text = toText(join(client.written))
    .replace(/date: .*\r\n/g, "").replaceAll("HTTP/1.1 100 Continue\r\n\r\n", "");
  // Which of several faults of a head is found first depends on how much of it is there.
  const refused = /HTTP\/1\.1 [45]\d\d [^]*$/.exec(text);
  return {
    asked,
    answers: refused === null ? text : `${text.slice(0, refused.index)}refused`,
    upgrade: upgrade?.text ?? null,
  };
}

/** Each buffer of the pool has one owner: a buffer that is released twice would get two. */
function checkPool(): void {
  for (const size of [1, 3]) {
    const buffers = Array.from({ length: 16 }, () => acquire(size));
    if (new Set(buffers).size !== buffers.length) finding("a buffer was released twice");
    for (const buffer of buffers) release(buffer);
  }
}

function makeRequest(random: Random): Uint8Array {
  const path = random.pick(["/a", "/b?c", "/unread", "*"]);
  const method = random.pick(["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE"]);
  const lines = [`${method} ${path} HTTP/1.${random.oneIn(8) ? 0 : 1}`, "Host: a"];
  let body = "";
  if (random.oneIn(3)) {
    const length = random.below(random.pick([10, 200, 5000]));
    body = "x".repeat(length);
    lines.push(`Content-Length: ${random.oneIn(12) ? length + 1 : length}`);
  } else if (random.oneIn(2)) {
    lines.push("Transfer-Encoding: chunked");
    for (let times = random.below(4); times > 0; times--) {
      const length = 1 + random.below(random.pick([4, 3000]));
      body += `${length.toString(16)}${random.oneIn(4) ? ";a=b" : ""}\r\n${"y".repeat(length)}\r\n`;
    }
    body += `0\r\n${random.oneIn(4) ? "T: z\r\n" : ""}\r\n`;
  }
  if (random.oneIn(6)) lines.push(`Connection: ${random.pick(["close", "keep-alive", "x"])}`);
  if (random.oneIn(8)) lines.push("Expect: 100-continue");
  if (random.oneIn(10)) lines.push("Upgrade: websocket", "Connection: Upgrade");
  return toBytes(`${[...lines, "", ""].join("\r\n")}${body}`);
}

export const http: Target = {
  name: "http",
  make(random) {
    const requests = Array.from({ length: 1 + random.below(5) }, () => makeRequest(random));
    const bytes = join(requests);
    return random.oneIn(3) ? random.mutate(bytes) : bytes;
  },
  async judge(input, random) {
    const { error } = console;
    console.error = (...args: unknown[]) => finding(args.join(" "));
    try {
      const whole = await exchange([input]);
      same(whole, await exchange(random.split(input)), "whole and cut differ");
      checkPool();
    } finally {
      console.error = error;
    }
  },
};
