import { type Bounds, terms } from "../tests/hostile/formula.ts";

const KiB = 1024;

/** An attack of one kind: how many attackers, their options, and what each may cost. */
export interface Attackers {
  readonly kind: string;
  readonly count: number;
  readonly extra?: number;
  /** Bytes of resident memory that each attacker may cost, by the formula of docs/security.md. */
  readonly may: number;
}

/** A server, its attackers, and the number of honest clients. */
export interface Scenario {
  readonly name: string;
  readonly server: Record<string, unknown>;
  readonly face: string;
  /** Whether the server can hold peers back, so that honest clients must not notice the attack. */
  readonly held: boolean;
  /** The most descriptors that the server may have; 0 for as many as there are. */
  readonly descriptors: number;
  readonly attackers: readonly Attackers[];
}

// Options of the server beyond the defaults, as docs/security.md advises where the peers are strangers.
const SERVER = {
  maxMessageSize: 64 * KiB,
  maxQueueBytes: 256 * KiB,
  maxHandshakes: 4096,
  handshakeTimeout: 5000,
};
const { handshake, base, read, control, held: heldTerm, queue } = terms(SERVER as Bounds);
/** Requests that wait for their answers, and the pipe to the HTTP server that answers them. */
const http = 128 * KiB;

/** Attackers that send as fast as they can. */
const FLOOD = 20;

function scenario(name: string, parts: Partial<Omit<Scenario, "name">>): Scenario {
  return {
    name,
    server: SERVER,
    face: "onMessage",
    held: true,
    descriptors: 0,
    attackers: [],
    ...parts,
  };
}

/** Connections of mixed kinds, 10,000 by default. */
function mixed(total: number): Scenario {
  const share = (kind: string, percent: number, may: number, extra = 0): Attackers => ({
    kind,
    count: Math.round(total * percent / 100),
    extra,
    may,
  });
  const unfinished = 2 * SERVER.maxMessageSize;
  return scenario("mixed", {
    attackers: [
      share("silent", 15, handshake),
      share("head", 10, handshake, 16_000),
      share("drip", 10, handshake),
      share("idle", 19, base),
      share("partial", 10, base + read + unfinished, 60_000),
      share("announced", 10, base + read),
      share("fragments", 10, base + read + unfinished),
      share("pings", 5, base + read + control),
      share("tiny", 5, base + read),
      share("deaf", 1, base + read + queue, 4_000_000),
      share("broken", 5, base + read),
    ],
  });
}

/** The ways to take messages, and whether each can wait before it takes the next one. */
const FACES: Record<string, { waits: boolean }> = {
  "onMessage": { waits: false },
  "async onMessage": { waits: true },
  "iterator": { waits: true },
  "receive": { waits: true },
  "messageStreams": { waits: true },
  "readable": { waits: true },
  "upgrade": { waits: false },
};

/** Deno's own socket holds up to 1 MiB, plus what the runtime keeps for it. */
const upgraded = 8 * 1024 * KiB;

/** A flood of empty messages. The server handles each at once, or waits 1 ms for it. */
function emptyMessages(face: string, waits: boolean): Scenario {
  // Deno's own socket reads everything that arrives, without being asked: docs/security.md.
  const held = face !== "upgrade";
  return scenario(`empty messages, ${face}${waits ? " that waits" : ""}`, {
    face,
    held,
    // A message socket has no limit of its own.
    server: held ? { ...SERVER, waits } : { maxMessageSize: SERVER.maxMessageSize },
    attackers: [{ kind: "flood", count: FLOOD, may: held ? base + read + heldTerm : upgraded }],
  });
}

/** All scenarios; `total` is the number of attackers in the mixed one. */
export function scenarios(total: number): Scenario[] {
  return [
    mixed(total),
    // Heads of 2,600 fields, from one address, one after the other.
    scenario("fields", { attackers: [{ kind: "fields", count: FLOOD, may: handshake }] }),
    ...Object.entries(FACES).flatMap(([face, { waits }]) =>
      waits ? [emptyMessages(face, false), emptyMessages(face, true)] : [emptyMessages(face, false)]
    ),
    scenario("pipelining", {
      server: { ...SERVER, handler: true },
      attackers: [{ kind: "pipeline", count: FLOOD, may: base + read + http }],
    }),
    scenario("pipelining after slow answers", {
      server: { ...SERVER, handler: true, slow: true },
      attackers: [{ kind: "pipeline", count: FLOOD, may: base + read + http }],
    }),
    scenario("pings", {
      attackers: [{ kind: "pingFlood", count: FLOOD, may: base + read + control }],
    }),
    scenario("pongs", { attackers: [{ kind: "pongFlood", count: FLOOD, may: base + read }] }),
    scenario("no descriptors left", {
      server: { ...SERVER, handler: true },
      descriptors: 300,
      attackers: [
        { kind: "request", count: 200, may: base + read + http },
        { kind: "silent", count: 200, may: handshake },
      ],
    }),
  ];
}
