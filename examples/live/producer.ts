/**
 * The producer of the live demo, a process of its own so that its memory can be measured:
 * `producer.ts sluice RATE [system]` or `producer.ts native RATE`. It makes RATE bytes per second for each client that
 * connects, and prints a report ten times a second. It ends with its standard input.
 *
 * @module
 */
import { type Connection, Context } from "@sluice/websocket";
import { systemSockets } from "@sluice/websocket/system";
import { CHUNK, GIVE_UP, type ProducerReport, REPORT_EVERY } from "./protocol.ts";

const TICK = 5;

/** Makes chunks at a given rate; chunks that can't be sent aren't made. */
class Source {
  made = 0;
  held = false;
  #owed = 0;
  #last = performance.now();
  readonly #rate: number;
  readonly #chunk = new Uint8Array(CHUNK);

  constructor(rate: number) {
    this.#rate = rate;
  }

  /** Calls `send` with the chunks that are due, as long as it returns true. */
  run(send: (chunk: Uint8Array) => boolean): void {
    const now = performance.now();
    this.#owed = Math.min(this.#owed + (now - this.#last) / 1000 * this.#rate, this.#rate / 10);
    this.#last = now;
    while (!this.held && this.#owed >= CHUNK) {
      this.#owed -= CHUNK;
      // Each chunk carries its number, so that the consumer notices a gap.
      new DataView(this.#chunk.buffer).setUint32(0, this.made++);
      this.held = !send(this.#chunk);
    }
  }
}

function report(values: Omit<ProducerReport, "rss">): void {
  console.log(JSON.stringify({ ...values, rss: Deno.memoryUsage().rss }));
}

/** With Sluice: stops when `send` returns false, and continues in `onDrain`. */
function withSluice(rate: number, system: boolean): void {
  const source = new Source(rate);
  // The kernel then leaves unsent data in our queue, where a pong passes it.
  const sockets = system ? systemSockets({ notSentLowWater: CHUNK }) : undefined;
  const ctx = new Context({ keepAlive: false, sockets });
  let conn: Connection | null = null, peak = 0;
  const pump = () => {
    if (conn?.state !== "open") return;
    const open = conn;
    source.run((chunk) => {
      const more = open.send(chunk);
      peak = Math.max(peak, open.queuedBytes);
      return more;
    });
  };
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onConnect(opened) {
      conn = opened;
      setInterval(pump, TICK);
    },
    onDrain() {
      source.held = false;
      pump();
    },
  });
  console.log(listener.url);
  setInterval(() => {
    report({
      made: source.made,
      queue: conn?.queuedBytes ?? 0,
      peak,
      drains: conn?.stats().drains ?? 0,
    });
    peak = conn?.queuedBytes ?? 0;
  }, REPORT_EVERY);
}

/**
 * With Deno's native WebSocket: no signal to stop exists. To spare the machine the producer stops when the socket's
 * queue has reached a size that no server could afford.
 */
function withNative(rate: number): void {
  const source = new Source(rate);
  let socket: WebSocket | null = null, peak = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket: upgraded, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    upgraded.onopen = () => {
      socket = upgraded;
      setInterval(() => {
        if (upgraded.readyState !== WebSocket.OPEN) return;
        source.held = upgraded.bufferedAmount > GIVE_UP;
        source.run((chunk) => {
          upgraded.send(chunk);
          peak = Math.max(peak, upgraded.bufferedAmount);
          return upgraded.bufferedAmount <= GIVE_UP;
        });
      }, TICK);
    };
    return response;
  });
  console.log(`ws://127.0.0.1:${server.addr.port}/`);
  setInterval(() => {
    report({ made: source.made, queue: socket?.bufferedAmount ?? 0, peak, drains: 0 });
    peak = socket?.bufferedAmount ?? 0;
  }, REPORT_EVERY);
}

const [kind, rate, sockets] = Deno.args;
if (kind === "native") withNative(Number(rate));
else withSluice(Number(rate), sockets === "system");
// The process that started this has ended when standard input ends.
for await (const _ of Deno.stdin.readable);
Deno.exit();
