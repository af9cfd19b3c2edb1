import { assert, assertEquals } from "@std/assert";
import { type CloseRecord, type Connection, Context } from "../../mod.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { numbered, numberOf } from "../support/messages.ts";
import { seeded } from "../support/random.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { turn, until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

// Events of a connection in any order, over a pipe in memory. In every order there is one end, one record of what has happened,
// and every accepted message has reached the peer or is counted.

type Role = "server" | "client";

class World {
  readonly ctx = new Context();
  readonly conn: Connection;
  readonly raw: RawPeer<MemoryConn>;
  readonly ours: MemoryConn;
  readonly theirs: MemoryConn;
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  record: CloseRecord | null = null;
  /** The number of messages that `send` and `sendStream` have accepted completely. */
  accepted = 0;
  /** Whether the peer has sent a close frame before its end. */
  peerClosed = false;
  peerEnded = false;
  /** Whether nothing can be written any more. */
  cut = false;
  terminated = false;
  #streams = 0;

  constructor(readonly role: Role, compressed: boolean) {
    [this.ours, this.theirs] = MemoryConn.pair(2000);
    this.raw = new RawPeer(this.theirs, role === "server" ? "client" : "server");
    this.conn = this.ctx.adopt(this.ours, {
      handshake: false,
      role,
      keepAlive: false,
      closeTimeout: 15,
      highWaterMark: 500,
      extensions: compressed ? ["permessage-deflate"] : [],
      compression: compressed ? { threshold: 0 } : false,
      onMessage: () => this.#tell("message"),
      onError: (_, error) => {
        this.#tell("error");
        this.errors.push(error);
      },
      onClose: (_, record) => {
        this.#tell("close");
        this.record = record;
      },
    });
  }

  #tell(what: string): void {
    this.told.push(what);
  }

  #send(size: number): void {
    try {
      this.conn.send(numbered(this.accepted, size));
      this.accepted++;
    } catch {
      // The connection isn't open any more, or our direction was ended.
    }
  }

  async #peerWrites(bytes: Uint8Array): Promise<void> {
    if (this.peerClosed || this.peerEnded) return;
    mayFail(this.raw.write(bytes), "the library may have closed the pipe");
    await turn();
  }

  readonly actions: Record<string, () => unknown> = {
    send: () => this.#send(40),
    "send much": () => this.#send(5000),
    close: () => this.conn.close(3000, "ours"),
    "close without code": () => this.conn.close(null),
    terminate: () => {
      // It isn't known whether the bytes of a pending write were accepted.
      this.terminated = true;
      this.conn.terminate();
    },
    pause: () => this.conn.pause(),
    "pause sending": () => this.conn.pauseSending(),
    "shut down reading": () => this.conn.shutdownRead(),
    "shut down writing": () => this.conn.shutdownWrite(),
    "begin a stream": () => {
      const first = this.#streams++ === 0;
      const source = (async function* () {
        yield "a part";
        if (first) await new Promise(() => {});
      })();
      mayFail(this.conn.sendStream(source), "the connection may end before it");
    },
    "the peer sends": () => this.#peerWrites(this.raw.encode(1, "hello")),
    "the peer closes": async () => {
      const written = this.#peerWrites(this.raw.encode(8, new Uint8Array([4000 >> 8, 4000 & 255])));
      this.peerClosed = true;
      await written;
    },
    "the peer half-closes": async () => {
      this.peerEnded = true;
      await this.theirs.closeWrite();
    },
    "the peer breaks the protocol": () =>
      this.#peerWrites(new Uint8Array([0x8f, 0x80, 0, 0, 0, 0])),
    "a write fails": () => {
      this.cut = true;
      this.ours.write = () => Promise.reject(new Deno.errors.BrokenPipe("cut"));
      this.#send(10);
    },
    "a turn passes": () => turn(),
  };

  /** Checks the end, and the frames that the peer has received. */
  async finish() {
    const messages: number[] = [], behind: number[] = [];
    let closes = 0, open = false;
    const read = (async () => {
      for (let frame = await this.raw.frame(); frame !== null; frame = await this.raw.frame()) {
        const { opcode, payload, fin, rsv } = frame;
        if (closes > 0) behind.push(opcode);
        if (opcode === 8) {
          closes++;
          this.actions["the peer closes"]();
          if (this.role === "client") this.actions["the peer half-closes"]();
        } else if (opcode < 8) {
          if (opcode === 2 && fin && rsv === 0) messages.push(numberOf(payload));
          else if (opcode === 2 && fin) messages.push(-1);
          open = !fin;
        }
      }
    })().catch((error) => error);
    this.conn.resumeSending();
    this.conn.resume();
    for (let i = 0; i < 5 && this.conn.state === "open"; i++) await turn();
    if (this.conn.state === "open") this.conn.close(3001);
    await until(() => this.record !== null, "the end");
    const failure = await read;
    return { messages, behind, closes, open, failure };
  }
}

async function live(role: Role, compressed: boolean, steps: readonly string[]): Promise<void> {
  const world = new World(role, compressed);
  const { conn, told, errors, ours } = world;
  await conn.opened;
  for (const step of steps) await world.actions[step]();
  const { messages, behind, closes, failure } = await world.finish();
  const record = world.record!;
  // There is one end.
  assertEquals(told.filter((what) => what === "close").length, 1);
  assert(errors.length <= 1, `${errors}`);
  assertEquals(told.at(-1), "close");
  assertEquals([conn.state, conn.queuedBytes, conn.queuedMessages], ["closed", 0, 0]);
  assertEquals([ours.closes, world.ctx.connections.size], [1, 0]);
  assertEquals(await conn.closed, record);
  // There is one record, which is true.
  assertEquals(record.code, record.received?.code ?? 1006);
  assertEquals(record.wasClean, record.sent !== null && record.received !== null);
  assertEquals(record.initiator === null, record.sent === null && record.received === null);
  if (record.received !== null) assert(world.peerClosed);
  if (errors.length > 0) assertEquals(errors[0], record.cause);
  // At most one close frame was sent, with the code of the record and no frames after it.
  assert(closes <= 1, `${closes} close frames`);
  assertEquals(behind, []);
  if (!world.cut && !world.terminated) assertEquals(record.sent !== null, closes === 1);
  assert(record.sent === null || closes === 1 || world.cut);
  // Accepted messages were sent once and in order, or are counted.
  if (!compressed) assertEquals(messages, messages.toSorted((a, b) => a - b));
  assertEquals(new Set(messages).size, compressed ? new Set(messages).size : messages.length);
  const inFlight = messages.length + record.unsentMessages - world.accepted;
  assert(world.terminated ? inFlight >= 0 && messages.length <= world.accepted : inFlight === 0);
  // The stream ends within a frame only if it was cut.
  if (failure !== undefined) {
    assert(world.cut || world.terminated || record.cause !== undefined, `${failure}`);
  }
  assertEquals(await world.ctx.shutdown({ timeout: 0 }), { clean: 0, terminated: 0 });
}

const NAMES = Object.keys(new World("server", false).actions);

/** Runs lives in parallel, since each mostly waits. */
async function all(lives: [Role, boolean, string[]][]): Promise<void> {
  const failures: string[] = [];
  let next = 0;
  const worker = async () => {
    while (next < lives.length) {
      const [role, compressed, steps] = lives[next++];
      try {
        await live(role, compressed, steps);
      } catch (error) {
        failures.push(`${role}${compressed ? ", compressed" : ""}: ${steps.join(", ")}: ${error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  assertEquals(failures, []);
}

for (const role of ["server", "client"] as const) {
  Deno.test(`a ${role} ends correctly after any two events in any order`, async () => {
    await all(
      NAMES.flatMap((a) => NAMES.map((b): [Role, boolean, string[]] => [role, false, [a, b]])),
    );
  });

  Deno.test(`a ${role} ends correctly after up to seven random events, also with compression`, async () => {
    const random = seeded(role === "server" ? 71 : 72);
    const below = (count: number) => Math.floor(random() * count);
    await all(Array.from({ length: 600 }, (_, n): [Role, boolean, string[]] => [
      role,
      n % 3 === 0,
      Array.from({ length: 3 + below(5) }, () => NAMES[below(NAMES.length)]),
    ]));
  });
}
