import { InvalidStateError } from "../../mod.ts";
import { turn } from "../support/until.ts";
import { macrotask } from "../support/virtual_clock.ts";
import { conclude } from "./contract.ts";
import { SIZES, type Step } from "./plan.ts";
import type { Run } from "./run.ts";

// The number of turns of the event loop without a change after which nothing will change by itself.
const QUIET = 4;
/** The time in ms after which every timeout has fired. */
const FOREVER = 120_000;
/** The number of turns after which a run counts as endless. */
const ROUNDS = 4000;

/** Runs a plan to its end, and compares its events with the contract. */
export async function drive(run: Run): Promise<void> {
  run.open();
  for (const [i, step] of run.plan.steps.entries()) {
    run.note(`- ${i}. ${step.op} ${step.a} ${step.b}`);
    run.reactions.next = step.reaction;
    try {
      await perform(run, step);
    } catch (error) {
      run.finding(`${step.op} throws ${error}`);
    }
    for (let turns = step.b >> 6; turns > 0; turns--) await macrotask();
  }
  await finish(run);
  await conclude(run);
}

async function perform(run: Run, { op, a, b }: Step): Promise<void> {
  const { conn, peer, plan } = run;
  const size = SIZES[a % SIZES.length];
  switch (op) {
    case "turn":
      for (let turns = a & 7; turns > 0; turns--) await macrotask();
      return;
    case "send":
      return run.send(a, b);
    case "fragment":
      return run.fragment(a, b);
    case "stream":
      return run.stream(a, b);
    case "prepared":
      return run.prepared(a);
    case "broadcast":
      return run.broadcast();
    case "ping":
      return run.ping(a);
    case "pong":
      return run.pong(a);
    case "drained":
      return run.drained();
    case "pause":
      conn.pause();
      if (!conn.isPaused && conn.state === "open" && !run.over && !run.readShut) {
        run.finding("pause() doesn't pause");
      }
      return;
    case "resume":
      return conn.resume();
    case "pauseSending":
      return conn.pauseSending();
    case "resumeSending":
      return conn.resumeSending();
    case "shutdownRead":
      run.readShut ||= conn.state !== "connecting";
      return conn.shutdownRead();
    case "shutdownWrite":
      run.writeShut ||= conn.state === "open";
      return conn.shutdownWrite();
    case "close":
      return (a & 7) === 7
        ? run.close(null, "")
        : run.close([1000, 1001, 3000, 4999][a & 3], ["", "why", "é".repeat(61)][b % 3]);
    case "terminate":
      return run.terminate();
    case "shutdown":
      return run.shutdown([0, 100, 10_000][a % 3]);
    case "take":
      if (!plan.callback) run.taking.take(a, b);
      return;
    case "leave":
      if (!plan.callback && run.taking.leave((a & 3) === 3) && conn.state !== "closed") {
        run.over = true;
      }
      return;
    case "abort":
      return run.taking.abort();
    case "settle":
      return run.reactions.waiting.shift()?.settle((a & 3) === 0);
    case "handlers":
      return conn.on({});
    case "nonsense":
      return nonsense(run, a);
    case "message":
    case "part":
      return message(run, op === "part", size, b);
    case "peerPing":
      return peer.ping(new Uint8Array(a % 126).fill(b));
    case "peerPong":
      return peer.pong(new Uint8Array(a % 126).fill(b));
    case "peerClose":
      return peer.sendClose([1000, 1001, undefined, 4000, 1011][a % 5], a % 5 === 2 ? "" : "bye");
    case "violate":
      peer.violate(a);
      return;
    case "fin":
      return peer.finish();
    case "vanish":
      return peer.vanish();
    case "deaf":
      peer.reading = false;
      return;
    case "listen":
      return peer.listen();
    case "chop":
      peer.chop = [Infinity, 1, 7, 100][a & 3];
      return;
    case "rude":
      peer.rude = (a & 1) === 1;
      return;
    case "wait":
      return await wait(run, [1, 20, 200, 2000][a & 3]);
  }
}

function message(run: Run, part: boolean, size: number, b: number): void {
  const { peer, plan } = run;
  const text = (b & 1) === 0;
  const limit = plan.maxMessageSize;
  if (peer.partial + size > limit) return peer.tooLarge(peer.partial + size);
  const id = `<${peer.sent.length}.`;
  if (!part && !peer.inMessage) {
    const body = (id + "lorem ipsum ö ".repeat(Math.ceil(size / 14))).slice(0, size);
    const data = text ? body : new TextEncoder().encode(body);
    if (new TextEncoder().encode(body).length <= limit) peer.message(data, (b & 2) !== 0);
    return;
  }
  const bytes = new TextEncoder().encode(id.padEnd(size, "part ")).subarray(0, size);
  peer.part(bytes, text, (b & 0x0c) === 0);
}

/** Checks that invalid arguments throw, and change nothing. */
function nonsense(run: Run, a: number): void {
  const { conn } = run;
  const { state, queuedBytes } = conn;
  const calls: [string, () => unknown][] = [
    ["close(1006)", () => conn.close(1006)],
    ["close() with a long reason", () => conn.close(1000, "x".repeat(124))],
    ["close() with a reason and no code", () => conn.close(null, "why")],
    ["send(7)", () => conn.send(7 as unknown as string)],
    ["ping() of 126 bytes", () => conn.ping("x".repeat(126))],
    ["on() of a string", () => conn.on({ onMessage: "x" as unknown as () => void })],
    ["subscribe() of nothing", () => conn.subscribe("")],
  ];
  const [what, call] = calls[a % calls.length];
  try {
    call();
    run.finding(`${what} doesn't throw`);
  } catch (error) {
    const right = error instanceof TypeError || error instanceof RangeError ||
      ((state !== "open" || run.writeShut) && error instanceof Error) ||
      error instanceof InvalidStateError;
    if (!right) run.finding(`${what} throws ${error}`);
  }
  if (conn.state !== state || conn.queuedBytes !== queuedBytes) {
    run.finding(`${what} has changed the connection`);
  }
}

/** Advances the virtual clock, or waits for a moment if there is none. */
async function wait(run: Run, ms: number): Promise<void> {
  if (run.reactions.waiting.length > 0 && ms >= run.plan.closeTimeout) run.tried = true;
  if (run.clock !== null) await run.clock.advance(ms);
  else for (let i = 0; i < 3; i++) await turn();
}

/** Waits until nothing changes any more. */
async function quiet(run: Run): Promise<void> {
  let still = 0, before = -1;
  for (let i = 0; still < (run.clock === null ? 10 * QUIET : QUIET); i++) {
    if (i === ROUNDS) return run.finding("it never comes to rest");
    await (run.clock === null ? turn() : macrotask());
    const now = run.wire.moved() + run.log.length;
    still = now === before ? still + 1 : 0;
    before = now;
  }
}

/** Consumes everything that is available. */
async function takeAll(run: Run): Promise<void> {
  const { taking } = run;
  await quiet(run);
  if (run.plan.callback) return;
  while (!taking.ended && !taking.waits) {
    taking.take(0, 0);
    for (let turns = 0; taking.waits && turns < QUIET; turns++) await macrotask();
    if (taking.waits) await quiet(run);
  }
}

/** Ends all holds, closes the connection if it is open, and waits for its end. */
async function finish(run: Run): Promise<void> {
  const { conn, peer, plan, reactions } = run;
  reactions.next = "nothing";
  run.note("- finish");
  if (!plan.hang) { while (reactions.waiting.length > 0) reactions.waiting.shift()!.settle(false); }
  conn.resume();
  conn.resumeSending();
  peer.behave();
  await takeAll(run);
  if (plan.messagesPerSecond > 0) await wait(run, 60_000);
  await takeAll(run);
  if (conn.state === "open" || conn.state === "connecting") await end(run);
  await untilClosed(run);
  if (plan.hang && conn.state !== "closed") {
    // While a callback holds the connection, nothing is read, and so the end of the peer isn't noticed.
    run.terminate();
    await untilClosed(run);
  }
  await takeAll(run);
}

/** Waits for the end, and for the timeouts that it needs. */
async function untilClosed(run: Run): Promise<void> {
  const { conn, pending } = run;
  for (let passed = 0; conn.state !== "closed" || pending.size > 0;) {
    await takeAll(run);
    if (conn.state === "closed" && pending.size === 0) break;
    const next = run.clock === null ? 1000 : Math.min(run.clock.next, 10_000);
    passed += next;
    if (passed > FOREVER) break;
    await wait(run, next);
  }
}

async function end(run: Run): Promise<void> {
  const { conn, peer, plan } = run;
  run.note(`- end: ${plan.ending}`);
  switch (plan.ending) {
    case "close":
      return run.close(1000, "");
    case "peerClose":
      if (!peer.valid) return run.close(1000, "");
      // No close frame is read any more, but the end of the stream is noticed.
      return run.readShut ? peer.finish() : peer.sendClose(1000, "done");
    case "fin":
      return peer.finish();
    case "vanish":
      return peer.vanish();
    case "terminate":
      return run.terminate();
    case "shutdown":
      return run.shutdown(10_000);
    case "silence": {
      const before = [conn.state, run.closes.length];
      await wait(run, 60_000);
      if (!plan.keepAlive && plan.sendTimeout === 0 && peer.valid && !run.writeShut) {
        const now = [conn.state, run.closes.length];
        if (before.join() !== now.join() && before[0] === "open") {
          run.finding(`silence ends it: ${before} is ${now}`);
        }
      }
      return run.terminate();
    }
  }
}
