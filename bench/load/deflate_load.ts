// Drives an echo server with compressed messages and counts what comes back. It compresses everything
// beforehand and inflates only a first round, to check it, so that the figures are the server's.
//
//     deflate_load.ts PORT '{"pid":1,"size":1024,"takeover":true,"connections":4,"inFlight":4,"seconds":3,
//       "warmup":1}'
//
// Prints {"messages","seconds","wire","busy","cpu"}: messages that came back, their compressed bytes, the
// share of one core that this program has used, and the CPU seconds that the server has.

import zlib from "node:zlib";
import { cpuSeconds } from "../lib/proc.ts";
import { feed } from "../feed.mjs";
import { join } from "../../tests/support/bytes.ts";

const { Z_SYNC_FLUSH } = zlib.constants;
const OFFER = "permessage-deflate; client_max_window_bits";
const FORGET = "; server_no_context_takeover; client_no_context_takeover";

interface Options {
  pid: number;
  size: number;
  takeover: boolean;
  connections: number;
  inFlight: number;
  seconds: number;
  warmup: number;
}

const port = Number(Deno.args[0]);
const options: Options = JSON.parse(Deno.args[1]);
const { size, takeover, connections, inFlight } = options;
const messages = feed(size);

/** The messages as masked frames; a fresh context for the round, so that it can be sent again and again. */
async function frames(): Promise<Uint8Array[]> {
  const packed: Uint8Array[] = [];
  let stream = zlib.createDeflateRaw({ level: 6 });
  for (const message of messages) {
    if (!takeover) stream = zlib.createDeflateRaw({ level: 6 });
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk: Uint8Array) => chunks.push(new Uint8Array(chunk)));
    stream.write(message);
    await new Promise<void>((resolve) => stream.flush(Z_SYNC_FLUSH, () => resolve()));
    stream.removeAllListeners("data");
    packed.push(frame(join(chunks).slice(0, -4)));
  }
  return packed;
}

function frame(payload: Uint8Array): Uint8Array {
  const { length } = payload, key = crypto.getRandomValues(new Uint8Array(4));
  const head = length < 126
    ? [0xc1, 0x80 | length]
    : length < 65536
    ? [0xc1, 0xfe, length >> 8, length & 255]
    : [0xc1, 0xff, 0, 0, 0, 0, ...[24, 16, 8, 0].map((bits) => length >>> bits & 255)];
  const masked = payload.map((byte, i) => byte ^ key[i & 3]);
  return join([Uint8Array.from(head), key, masked]);
}

let received = 0, wire = 0, checked = 0;

class Load {
  readonly #conn: Deno.TcpConn;
  readonly #frames: Uint8Array[];
  readonly #chunk = new Uint8Array(256 * 1024);
  #next = 0;
  #header: number[] = [];
  #missing = 0;
  // The first round is collected and compared.
  #payload: Uint8Array[] = [];
  #checked = 0;
  #inflate = zlib.createInflateRaw();
  #inflated: Uint8Array[] = [];

  constructor(conn: Deno.TcpConn, frames: Uint8Array[]) {
    this.#conn = conn;
    this.#frames = frames;
    this.#inflate.on("data", (chunk: Uint8Array) => this.#inflated.push(new Uint8Array(chunk)));
  }

  async open(): Promise<void> {
    const request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
      "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: ${OFFER}${
        takeover ? "" : FORGET
      }\r\n\r\n`;
    await this.#conn.write(new TextEncoder().encode(request));
    let text = "";
    while (!text.endsWith("\r\n\r\n")) {
      const count = await this.#conn.read(this.#chunk);
      text += new TextDecoder().decode(this.#chunk.subarray(0, count!));
    }
    if (!/permessage-deflate/i.test(text)) throw new Error(`No compression:\n${text}`);
  }

  async run(): Promise<void> {
    this.#send(inFlight);
    for (;;) {
      const count = await this.#conn.read(this.#chunk).catch(() => null);
      if (count === null) return;
      const done = await this.#read(this.#chunk.subarray(0, count));
      if (done > 0) this.#send(done);
    }
  }

  #send(count: number): void {
    const parts: Uint8Array[] = [];
    while (count-- > 0) parts.push(this.#frames[this.#next++ % this.#frames.length]);
    const bytes = join(parts);
    (async () => {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
    })().catch(() => {});
  }

  /** Returns how many messages are complete. */
  async #read(bytes: Uint8Array): Promise<number> {
    let done = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#missing > 0) {
        const count = Math.min(this.#missing, bytes.length - at);
        if (this.#checked < messages.length) this.#payload.push(bytes.slice(at, at + count));
        this.#missing -= count;
        at += count;
        if (this.#missing > 0) continue;
        done++;
        received++;
        if (this.#checked < messages.length) await this.#check();
        continue;
      }
      const header = this.#header;
      header.push(bytes[at++]);
      const short = header[1] & 127;
      const length = header.length < 2 ? 0 : short < 126 ? 2 : short === 126 ? 4 : 10;
      if (header.length !== length) continue;
      if (header[0] !== 0xc1 && header[0] !== 0xc2) throw new Error(`A frame begins ${header}`);
      this.#missing = length === 2
        ? short
        : header.slice(2).reduce((sum, byte) => sum * 256 + byte, 0);
      wire += length + this.#missing;
      this.#header = [];
    }
    return done;
  }

  async #check(): Promise<void> {
    const payload = join([...this.#payload, Uint8Array.of(0, 0, 0xff, 0xff)]);
    this.#payload = [];
    this.#inflated = [];
    this.#inflate.write(payload);
    await new Promise<void>((resolve) => this.#inflate.flush(Z_SYNC_FLUSH, () => resolve()));
    const whole = join(this.#inflated), expected = messages[this.#checked++];
    if (whole.length !== expected.length || whole.some((byte, i) => byte !== expected[i])) {
      throw new Error(`Message ${this.#checked} came back different`);
    }
    checked++;
  }
}

const prepared = await frames();
const loads: Load[] = [];
for (let i = 0; i < connections; i++) {
  const conn = await Deno.connect({ port, hostname: "127.0.0.1" });
  conn.setNoDelay(true);
  loads.push(new Load(conn, prepared));
  await loads[i].open();
}
for (const load of loads) {
  load.run().catch((error) => {
    console.error(error);
    Deno.exit(1);
  });
}
while (checked < connections * Math.min(messages.length, 8)) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
await new Promise((resolve) => setTimeout(resolve, options.warmup * 1000));
while (checked < connections * messages.length) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
received = wire = 0;
const start = performance.now();
const ownBefore = cpuSeconds(Deno.pid), serverBefore = cpuSeconds(options.pid);
await new Promise((resolve) => setTimeout(resolve, options.seconds * 1000));
const seconds = (performance.now() - start) / 1000;
const busy = (cpuSeconds(Deno.pid) - ownBefore) / seconds;
const cpu = cpuSeconds(options.pid) - serverBefore;
console.log(JSON.stringify({ messages: received, seconds, wire, busy, cpu }));
Deno.exit(0);
