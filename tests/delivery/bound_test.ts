import type { ConnectionOptions } from "../../mod.ts";
import { repeat } from "../support/bytes.ts";
import { BINARY, frame } from "../support/frames.ts";
import { turn } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { type Face, FACES, Got } from "./faces.ts";
import { READ_AHEAD } from "./shapes.ts";
import { type Way, ways } from "./ways.ts";
import { mayFail } from "../support/failure.ts";

// A peer that floods a held connection: after the kernels' buffers and `readAhead` are full, the peer has to wait. Deno's own
// WebSocket can't make a peer wait, so there the connection ends.

const MiB = 1024 * 1024;
/** More bytes than the buffers of two kernels hold on a loopback connection. */
const FLOOD = 32 * MiB;
/** How much a flood may add to the memory: several times `readAhead`, and garbage that isn't collected yet. */
const MEMORY = 24 * MiB;
/** The number of turns of the event loop without a successful write after which the peer counts as stopped. */
const STUCK = 60;

const MESSAGES: [string, Uint8Array][] = [
  ["empty messages", frame(BINARY)],
  ["messages of 1 byte", frame(BINARY, "x")],
  ["messages of 60 KiB", frame(BINARY, new Uint8Array(60 * 1024))],
];

function usedBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** Floods a connection whose consumer is busy; throws unless the peer is stopped. */
async function flood(way: Way, face: Face, message: Uint8Array): Promise<void> {
  const got = new Got();
  const busy = Promise.withResolvers<void>();
  const inConnect = face.name === "onMessage";
  if (!inConnect) got.gate = busy.promise;
  const options: ConnectionOptions = {
    readAhead: READ_AHEAD,
    maxMessageSize: MiB,
    keepAlive: false,
    onError: () => {},
    ...face.options?.(got),
    onConnect: () => inConnect ? busy.promise : undefined,
  };
  await using ends = await way.open(options, "");
  const { conn, peer } = ends;
  const claimed = face.options === undefined ? face.claim(conn, got) : undefined;
  const piece = peer.encode(message);
  const many = repeat(piece, Math.ceil(64 * 1024 / piece.length));
  const before = usedBytes();
  let pushed = 0, ended = false;
  void (async () => {
    while (pushed < FLOOD) {
      for (let at = 0; at < many.length;) {
        const count = await peer.conn.write(many.subarray(at));
        at += count;
        pushed += count;
      }
    }
  })().catch(() => ended = true);
  for (let stuck = 0, last = -1; stuck < STUCK && !ended && pushed < FLOOD;) {
    await turn();
    stuck = pushed === last ? stuck + 1 : 0;
    last = pushed;
  }
  const grown = usedBytes() - before;
  const { state } = conn, { bytesReceived } = conn.stats();
  conn.terminate();
  busy.resolve();
  await mayFail(Promise.resolve(claimed), "the connection was terminated");
  await conn.closed;
  if (!way.frames) {
    if (state === "open" && pushed >= FLOOD) throw new Error(`${pushed} bytes are accepted`);
  } else if (pushed >= FLOOD) {
    throw new Error(`${pushed} bytes are accepted, ${bytesReceived} read`);
  }
  if (grown > MEMORY) throw new Error(`memory grows by ${grown}, of ${pushed} bytes pushed`);
}

const certificates = makeCertificates();

for (const way of ways(certificates)) {
  if (way.role === "client") continue;
  Deno.test(`delivery over ${way.name}: a peer that floods a held connection has to wait`, async () => {
    const wrong: string[] = [];
    for (const face of FACES) {
      for (const [name, message] of MESSAGES) {
        try {
          await flood(way, face, message);
        } catch (error) {
          wrong.push(`${face.name}, ${name}: ${(error as Error).message}`);
        }
      }
    }
    if (wrong.length > 0) throw new Error(`${wrong.length} floods:\n${wrong.join("\n")}`);
  });
}

globalThis.addEventListener("unload", () => certificates[Symbol.dispose]());
