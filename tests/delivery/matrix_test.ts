import type { ConnectionOptions } from "../../mod.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { CLOSE } from "../support/frames.ts";
import { macrotask } from "../support/virtual_clock.ts";
import { bounded, turn } from "../support/until.ts";
import { type Face, FACES, Got } from "./faces.ts";
import { READ_AHEAD, type Shape, SHAPES } from "./shapes.ts";
import { type Way, ways } from "./ways.ts";
import { mayFail } from "../support/failure.ts";

// Every way of consuming messages × every shape of messages × every timing × every transport: all messages arrive once and in
// order, and what waits in the meantime is bounded.

const TIMINGS = ["at once", "late", "paused", "held"] as const;
type Timing = typeof TIMINGS[number];

/** The number of cells that run at the same time. */
const AT_ONCE = 12;
/** The most bytes that one read returns, in addition to `readAhead`. */
const ONE_READ = 64 * 1024;
const QUIET = 8;

/** Waits until a number doesn't change any more. */
async function still(look: () => number): Promise<void> {
  for (let same = 0, before = -1; same < QUIET;) {
    await macrotask();
    await turn();
    const now = look();
    same = now === before ? same + 1 : 0;
    before = now;
  }
}

/** Runs a cell; throws if anything is wrong. */
async function cell(way: Way, face: Face, shape: Shape, timing: Timing): Promise<void> {
  const got = new Got();
  const gate = Promise.withResolvers<void>();
  const held = timing === "held";
  // A callback that returns at once can't be busy, but `onConnect` before it can.
  const inConnect = held && face.name === "onMessage";
  if (held && !inConnect) got.gate = gate.promise;
  const options: ConnectionOptions = {
    readAhead: READ_AHEAD,
    maxMessageSize: 1 << 20,
    keepAlive: false,
    onError: (_, error) => void errors.push(error),
    ...(timing === "late" ? {} : face.options?.(got)),
    onConnect: (conn) => {
      if (timing === "paused") conn.pause();
      if (inConnect) return gate.promise;
    },
  };
  const errors: unknown[] = [];
  await using ends = await way.open(options, shape.extension, 64 << 20);
  const { conn, peer } = ends;
  let claimed: Promise<void> | void = undefined;
  if (timing !== "late" && face.options === undefined) claimed = face.claim(conn, got);
  const written = peer.send(...shape.frames);
  // Reads the pongs, which would otherwise stop the library's writes.
  const reading = peer.next(CLOSE);
  mayFail(reading, "awaited below, unless the cell fails before");
  if (timing !== "at once") {
    await still(() => conn.stats().bytesReceived + got.keys.length);
    const most = held && !inConnect ? 1 : 0;
    if (got.keys.length > most) throw new Error(`${got.keys.length} are delivered while held`);
    const { bytesReceived } = conn.stats();
    const first = most * Math.max(...shape.frames.map((frame) => frame.length)) * 8;
    // Deno's own WebSocket can't be held.
    if (way.frames && bytesReceived > READ_AHEAD + ONE_READ + first) {
      throw new Error(`${bytesReceived} bytes are read while held`);
    }
    if (timing === "late") claimed = face.claim(conn, got);
    if (timing === "paused") conn.resume();
    gate.resolve();
  }
  await written;
  await peer.sendClose(1000);
  await reading;
  // The server ends the stream (RFC 6455 7.1.1).
  if (peer.role === "server") peer.close();
  const record = await conn.closed;
  await claimed;
  if (record.code !== 1000 || !record.wasClean) throw new Error(`another close record: ${record}`);
  const wrong = shape.keys.findIndex((key, i) => got.keys[i] !== key);
  if (wrong >= 0) {
    throw new Error(`message ${wrong} of ${shape.keys.length} is ${got.keys[wrong]}: ${record}`);
  }
  if (got.keys.length > shape.keys.length) throw new Error(`${got.keys.length} are delivered`);
  if (record.undelivered !== 0) throw new Error(`undelivered: ${record.undelivered}`);
  if (errors.length > 0) throw new Error(`onError: ${errors}`);
}

const certificates = makeCertificates();

for (const way of ways(certificates)) {
  Deno.test(`delivery over ${way.name}, ${way.role}: every consumer, shape and timing delivers all messages`, async () => {
    const cells = FACES.flatMap((face) =>
      SHAPES.flatMap((shape) => TIMINGS.map((timing) => ({ face, shape, timing })))
    ).filter(({ shape }) => way.frames || shape.extension === "");
    const wrong: string[] = [];
    const work = async () => {
      for (let next = cells.shift(); next !== undefined; next = cells.shift()) {
        const { face, shape, timing } = next;
        try {
          await bounded("the cell", cell(way, face, shape, timing));
        } catch (error) {
          wrong.push(`${face.name}, ${shape.name}, ${timing}: ${(error as Error).message}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (wrong.length > 0) throw new Error(`${wrong.length} cells:\n${wrong.sort().join("\n")}`);
  });
}

globalThis.addEventListener("unload", () => certificates[Symbol.dispose]());
