// A plan for a connection, as bytes: a head that configures it, and then steps of four bytes. Any bytes are a valid plan, so
// a fuzzer can make and change plans, and a shrinker can remove parts.

/** Steps of the application, with their weights. */
const APPLICATION = {
  turn: 10,
  send: 22,
  fragment: 8,
  stream: 6,
  prepared: 2,
  ping: 5,
  pong: 2,
  drained: 5,
  pause: 6,
  resume: 8,
  pauseSending: 3,
  resumeSending: 4,
  shutdownRead: 1,
  shutdownWrite: 1,
  close: 3,
  terminate: 1,
  shutdown: 1,
  take: 18,
  leave: 3,
  settle: 8,
  abort: 2,
  handlers: 2,
  nonsense: 3,
  broadcast: 2,
} as const;

/** Steps of the peer, with their weights. */
const PEER = {
  message: 30,
  part: 14,
  peerPing: 5,
  peerPong: 3,
  peerClose: 3,
  violate: 2,
  fin: 1,
  vanish: 1,
  deaf: 4,
  listen: 6,
  chop: 4,
  rude: 2,
  wait: 4,
} as const;

export type Op = keyof typeof APPLICATION | keyof typeof PEER;

const OPS: Op[] = Object.entries({ ...APPLICATION, ...PEER })
  .flatMap(([op, weight]) => Array<Op>(weight).fill(op as Op));

/** Reactions of a callback that is called during a step. */
const REACTIONS = [
  ...Array<"nothing">(20).fill("nothing"),
  "throw",
  "reject",
  "wait",
  "wait",
  "wait",
  "thenable",
  "bad thenable",
  "hostile thenable",
  "close",
  "terminate",
  "pause",
  "send",
  "send",
  "ping",
  "resume",
  "shutdown",
] as const;

export type Reaction = typeof REACTIONS[number];

export interface Step {
  readonly op: Op;
  readonly a: number;
  readonly b: number;
  readonly reaction: Reaction;
}

/** How the connection is ended if it is still open after the steps. */
export const ENDINGS = [
  "close",
  "close",
  "peerClose",
  "peerClose",
  "fin",
  "vanish",
  "terminate",
  "shutdown",
  "silence",
] as const;

export interface Plan {
  readonly role: "server" | "client";
  readonly transport: "conn" | "streams";
  /** Whether the library performs the handshake. */
  readonly handshake: boolean;
  readonly compression: "none" | "takeover" | "single";
  /** Whether messages are delivered to `onMessage`. If not, they are consumed in other ways. */
  readonly callback: boolean;
  /** Whether frame callbacks are used, in addition to messages or instead of them. */
  readonly frames: "none" | "beside" | "instead";
  readonly quiet: boolean; // no onError
  readonly hang: boolean; // promises of callbacks never settle
  readonly view: boolean;
  readonly highWaterMark: number;
  readonly lowWaterMark: number;
  readonly maxQueueBytes: number;
  readonly whenQueueFull: "throw" | "drop" | "close";
  readonly readAhead: number;
  readonly maxMessageSize: number;
  readonly capacity: number;
  readonly portion: number;
  readonly closeTimeout: number;
  readonly keepAlive: boolean;
  readonly sendTimeout: number;
  readonly messagesPerSecond: number;
  readonly ending: typeof ENDINGS[number];
  readonly steps: readonly Step[];
}

/** The length of the head in bytes. */
export const HEAD = 12;
/** The length of a step in bytes. */
export const STEP = 4;

export const SIZES = [
  0,
  1,
  3,
  20,
  100,
  125,
  126,
  127,
  500,
  1000,
  1100,
  3000,
  10_000,
  0,
  20,
  500,
  70_000,
];

/** Decodes a plan. */
export function readPlan(bytes: Uint8Array): Plan {
  const at = (index: number) => bytes[index] ?? 0;
  const pick = <T>(index: number, shift: number, items: readonly T[]): T =>
    items[(at(index) >> shift) % items.length];
  const highWaterMark = pick(2, 0, [65_536, 1000, 0, 5000]);
  const limit = pick(3, 0, [1 << 20, 5000, 200, 0]);
  const steps: Step[] = [];
  for (let from = HEAD; from + STEP <= bytes.length; from += STEP) {
    steps.push({
      op: OPS[at(from) % OPS.length],
      a: at(from + 1),
      b: at(from + 2),
      reaction: REACTIONS[at(from + 3) % REACTIONS.length],
    });
  }
  const callback = (at(1) & 1) === 0;
  const compression = pick(0, 3, ["none", "none", "takeover", "single"] as const);
  return {
    role: (at(0) & 1) === 0 ? "server" : "client",
    transport: pick(0, 1, ["conn", "conn", "conn", "streams"]),
    handshake: pick(0, 5, [false, false, false, true]),
    compression,
    callback,
    frames: !callback || compression !== "none"
      ? pick(11, 0, ["none", "none", "beside"])
      : pick(11, 0, ["none", "none", "beside", "instead"]),
    quiet: pick(1, 1, [false, false, false, false, false, true]),
    hang: pick(9, 0, [false, false, false, false, false, false, false, true]),
    view: callback && pick(8, 0, [false, false, true]),
    highWaterMark,
    lowWaterMark: Math.min(highWaterMark, pick(2, 4, [0, 0, 500, 5000])),
    maxQueueBytes: limit === 0 ? 0 : Math.max(highWaterMark, limit),
    whenQueueFull: pick(3, 4, ["throw", "drop", "close"]),
    readAhead: pick(4, 0, [65_536, 1000, 0, 200]),
    maxMessageSize: pick(4, 4, [1 << 20, 1 << 20, 1 << 20, 1000]),
    capacity: pick(5, 0, [65_536, 1 << 20, 4096, 300]),
    portion: pick(5, 4, [Infinity, Infinity, 1000, 100]),
    closeTimeout: pick(6, 0, [10_000, 10_000, 50]),
    keepAlive: pick(6, 4, [false, false, true]),
    sendTimeout: pick(10, 0, [0, 0, 0, 0, 500]),
    messagesPerSecond: pick(10, 4, [0, 0, 0, 0, 0, 0, 10]),
    ending: pick(7, 0, ENDINGS),
    steps,
  };
}

/** Describes a plan: the options that differ from the defaults, and the steps. */
export function describePlan(bytes: Uint8Array): string {
  const { steps, ...head } = readPlan(bytes);
  const plain = new Map<string, unknown>(Object.entries(readPlan(new Uint8Array(HEAD))));
  const set = Object.entries(head).filter(([name, value]) => value !== plain.get(name));
  const lines = steps.map(({ op, a, b, reaction }, i) =>
    `${i}. ${op} ${a} ${b}${reaction === "nothing" ? "" : `, callbacks: ${reaction}`}`
  );
  return [set.map(([name, value]) => `${name}=${value}`).join(" "), ...lines].join("\n  ");
}
