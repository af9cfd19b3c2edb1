import type { Frames } from "./frames.ts";
import type { LoadOptions } from "./options.ts";

const READ_SIZE = 256 * 1024;
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function dial({ port, tls }: Required<LoadOptions>): Promise<Deno.Conn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  if (!tls) return conn;
  return await Deno.startTls(conn, {
    hostname: "localhost",
    caCerts: [Deno.readTextFileSync(Deno.env.get("BENCH_TLS_CERT")!)],
  });
}

/** One connection of the load: counts frames that come back, keeps one write in flight. */
export class LoadSocket {
  /** Time of the last send, ms. */
  sentAt = 0;
  #conn!: Deno.Conn;
  #buffer = new Uint8Array(0);
  #rest = new Uint8Array(0);
  #position = 0;
  #owed = 0;
  #writing = false;
  #checked = false;
  readonly #frames: Frames;

  /** A socket that will send and expect `frames`. */
  constructor(frames: Frames) {
    this.#frames = frames;
  }

  /** Connects and upgrades. */
  async open(options: Required<LoadOptions>, request: Uint8Array): Promise<void> {
    this.#conn = await dial(options);
    // Without a handshake, one echoed byte shows that the server has accepted the connection, not only the kernel.
    await writeAll(this.#conn, options.raw ? new Uint8Array(1) : request);
    const head = new Uint8Array(4096);
    let answer = "";
    let filled = 0;
    while (!options.raw && !answer.includes("\r\n\r\n") || filled === 0) {
      const n = await this.#conn.read(head.subarray(filled));
      if (n === null || filled + n === head.length) throw new Error(`No answer: ${answer}`);
      filled += n;
      answer = new TextDecoder("latin1").decode(head.subarray(0, filled));
    }
    if (options.raw) return;
    if (!answer.startsWith("HTTP/1.1 101") || !answer.includes(ACCEPT)) throw new Error(answer);
    this.#rest = head.slice(answer.indexOf("\r\n\r\n") + 4, filled);
  }

  /** Sends `count` more frames together with those still to send, as one write. */
  send(count: number): void {
    this.#owed += count;
    this.sentAt = performance.now();
    if (!this.#writing) this.#flush();
  }

  async #flush(): Promise<void> {
    this.#writing = true;
    const { block, sent } = this.#frames;
    while (this.#owed > 0) {
      const bytes = block.subarray(0, Math.min(block.length, this.#owed * sent));
      this.#owed -= bytes.length / sent;
      await writeAll(this.#conn, bytes);
    }
    this.#writing = false;
  }

  /** Reads for ever; `onFrames` gets the number of frames that one read completed. */
  async read(onFrames: (count: number) => void): Promise<void> {
    this.#buffer = new Uint8Array(READ_SIZE);
    this.#buffer.set(this.#rest);
    for (let n: number | null = this.#rest.length;;) {
      const count = n === 0 ? 0 : this.#count(n);
      if (count > 0) onFrames(count);
      n = await this.#conn.read(this.#buffer);
      if (n === null) throw new Error("The server closed the connection");
    }
  }

  #count(n: number): number {
    const { expected, header } = this.#frames;
    const { length } = expected;
    // The first bytes of every header, and every byte of the first frame.
    const first = this.#position === 0 ? 0 : length - this.#position;
    for (let at = first; at < n; at += length) {
      for (let i = 0; i < header && at + i < n; i++) this.#expect(at + i, i);
    }
    if (!this.#checked) {
      const end = Math.min(n, length - this.#position);
      for (let i = 0; i < end; i++) this.#expect(i, this.#position + i);
    }
    const total = this.#position + n;
    this.#position = total % length;
    const complete = Math.floor(total / length);
    if (complete > 0) this.#checked = true;
    return complete;
  }

  #expect(at: number, index: number): void {
    if (this.#buffer[at] !== this.#frames.expected[index]) {
      throw new Error("An echoed frame is not what was sent");
    }
  }

  /** Close frame, close frame back, and the end of the connection. */
  async close(): Promise<void> {
    await writeAll(this.#conn, new Uint8Array([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    const answer = new Uint8Array(16);
    if (!await this.#conn.read(answer) || answer[0] !== 0x88) throw new Error("No close frame");
    this.#conn.close();
  }
}
