import { ConnectionClosedError, QueueFullError, TimeoutError } from "../../mod.ts";
import { Deflate } from "../support/deflate.ts";
import { macrotask } from "../support/virtual_clock.ts";
import type { Run } from "./run.ts";
import { Transcript } from "./wire.ts";

/** Compares the events of a finished run with the contract. */
export async function conclude(run: Run): Promise<void> {
  const { conn, closes } = run;
  for (const label of run.pending.values()) run.finding(`${label} never settles`);
  if (conn.state !== "closed") {
    run.finding(`it stays ${conn.state}`);
    conn.terminate();
  }
  for (let i = 0; i < 4; i++) await macrotask();
  if (closes.length !== 1) return run.finding(`onClose is called ${closes.length} times`);
  if (conn.queuedBytes !== 0 || conn.queuedMessages !== 0) {
    run.finding(
      `${conn.queuedBytes} bytes, ${conn.queuedMessages} messages are queued when closed`,
    );
  }
  record(run);
  errors(run);
  received(run);
  sent(run);
  await afterwards(run);
}

/** Checks that the close record agrees with itself and with the frames on the wire. */
function record(run: Run): void {
  const { closes: [close], peer, over, plan } = run;
  if (close.wasClean !== (close.sent !== null && close.received !== null)) {
    run.finding(`wasClean is ${close.wasClean}: ${close}`);
  }
  if (close.code !== (close.received?.code ?? 1006)) run.finding(`code ${close.code}: ${close}`);
  if ((close.initiator === null) !== (close.sent === null && close.received === null)) {
    run.finding(`initiator ${close.initiator}: ${close}`);
  }
  // If the server doesn't close the stream after both close frames, the client closes it at the timeout.
  const left = plan.role === "client" && close.cause instanceof TimeoutError;
  if (
    close.wasClean && close.cause !== undefined && run.errors.length === 0 && !plan.quiet && !left
  ) {
    run.finding(`a clean close with a cause: ${close}`);
  }
  if (run.closing !== null && close.initiator === "local" && close.cause === undefined) {
    const { code, reason } = run.closing;
    if (close.sent !== null && (close.sent.code !== code || close.sent.reason !== reason)) {
      run.finding(`sent ${JSON.stringify(close.sent)}, asked for was ${code} "${reason}"`);
    }
  }
  if (close.received !== null) {
    const { code, reason } = close.received;
    if (peer.close === null || code !== peer.close.code || reason !== peer.close.reason) {
      run.finding(`received ${code} "${reason}", sent was ${JSON.stringify(peer.close)}`);
    }
  }
  if (
    close.initiator === "local" && close.received !== null && !over && close.cause === undefined
  ) {
    run.finding(`the close has no cause: ${close}`);
  }
}

/** Checks that every error is reported once, and that nothing else is reported. */
function errors(run: Run): void {
  const { closes: [close], peer, plan, reactions: { markers }, errors } = run;
  for (const [marker, times] of markers) {
    if (times !== 1) run.finding(`the error of "${marker.message}" is reported ${times} times`);
  }
  if (errors.length > 1) {
    run.finding(`${errors.length} errors ended it: ${errors.map(String).join("; ")}`);
  }
  if (errors.length === 1 && errors[0] !== close.cause) {
    run.finding(`onError got ${errors[0]}, the cause is ${close.cause}`);
  }
  const reason = peer.violated !== null || peer.finished || peer.vanished || run.sourceFailed ||
    run.overflowed || run.readShut || run.writeShut || close.cause instanceof TimeoutError;
  if (errors.length > 0 && !reason && !plan.handshake) {
    run.finding(`onError without a reason: ${errors[0]}`);
  }
  if (
    errors.length === 0 && !plan.quiet && close.cause !== undefined && !run.over && run.opened &&
    close.received === null
  ) run.finding(`an error that wasn't reported: ${close.cause}`);
}

/** Whether only the peer or its violation has ended the connection: then everything that it sent has to be delivered. */
function isExact(run: Run): boolean {
  const { closes: [close], peer, plan } = run;
  const lost = run.over || run.readShut || plan.hang || run.sourceFailed || run.overflowed ||
    run.tried || !run.opened || close.cause instanceof TimeoutError ||
    peer.lossy || (peer.vanished && (run.clock === null || unread(run)));
  return !lost;
}

/** Whether a write has failed before all bytes of the peer were read, which ends the connection. */
function unread({ conn, peer }: Run): boolean {
  return conn.stats().bytesReceived < peer.written;
}

function received(run: Run): void {
  const { closes: [close], delivered, peer, plan } = run;
  const whole = delivered.filter(({ key }) => key !== null).length;
  // A message that comes as a stream, and that is cut or ends after our own end, may count either way.
  const either = (run.taking.streaming ? delivered.length : 0) + (peer.inMessage ? 1 : 0);
  if (whole + close.undelivered > peer.sent.length + either) {
    run.finding(
      `${whole} delivered and ${close.undelivered} undelivered of ${peer.sent.length} messages`,
    );
  }
  if (!isExact(run)) return;
  // A frame whose message is cut or isn't UTF-8 may be shown or not.
  const { frames } = peer, sure = frames.length - (peer.violated === null ? 0 : 1);
  if (plan.frames !== "none" && run.frames.shown < sure) {
    run.finding(`${run.frames.shown} of ${frames.length} frames are shown: ${close}`);
  }
  if (delivered.length + close.undelivered < peer.sent.length) {
    run.finding(
      `${delivered.length} of ${peer.sent.length} messages are delivered, ${close.undelivered} ` +
        `counted as undelivered: ${close}`,
    );
  } else if (plan.callback && close.undelivered > 0) {
    run.finding(`${close.undelivered} messages stay undelivered: ${close}`);
  }
}

/** Checks that every message that `send` has accepted is sent once and in order, or is counted. */
function sent(run: Run): void {
  const { accepted, closes: [close], peer, plan, wire } = run;
  const expected = accepted.filter(({ complete }) => complete !== false);
  const prefix = (what: string, messages: readonly string[]) => {
    for (const [i, key] of messages.entries()) {
      if (key === expected[i]?.key) continue;
      return run.finding(`${what} ${i} is ${key} and should be ${expected[i]?.key}`);
    }
  };
  for (const what of peer.got.violations) run.finding(`the peer reads ${what}`);
  prefix("message", peer.got.messages);
  const written = wire.written();
  if (written === null) {
    if (close.wasClean && peer.got.messages.length + close.unsentMessages !== expected.length) {
      run.finding(
        `${peer.got.messages.length} of ${expected.length} messages arrived, ${close.unsentMessages} are unsent`,
      );
    }
    return;
  }
  const out = new Transcript(
    plan.role === "client",
    plan.compression === "none" ? null : new Deflate(plan.compression === "takeover"),
  );
  out.push(plan.handshake ? afterHead(written) : written);
  for (const what of out.violations) run.finding(`we write ${what}`);
  prefix("written message", out.messages);
  const taken = out.messages.length + close.unsentMessages;
  // A pending write counts as unsent, although the stream may have accepted its bytes.
  if (close.wasClean ? taken !== expected.length : taken < expected.length) {
    run.finding(
      `${out.messages.length} of ${expected.length} messages went out, ${close.unsentMessages} are unsent: ${close}`,
    );
  }
  if (close.unsentMessages > expected.length) run.finding(`too many are unsent: ${close}`);
  if (close.sent !== null && out.close === null) run.finding(`no close frame went out: ${close}`);
  if (close.sent !== null && out.close !== null) {
    const { code, reason } = out.close;
    if (code !== close.sent.code || reason !== close.sent.reason) {
      run.finding(`the close frame says ${code} "${reason}": ${close}`);
    }
  }
}

/** The bytes after the head of a handshake. */
function afterHead(bytes: Uint8Array): Uint8Array {
  const end = new TextDecoder("latin1").decode(bytes.subarray(0, 2000)).indexOf("\r\n\r\n");
  return end < 0 ? new Uint8Array(0) : bytes.subarray(end + 4);
}

/** Checks that a closed connection refuses everything, and holds nothing. */
async function afterwards(run: Run): Promise<void> {
  const { conn, ctx, wire } = run;
  try {
    conn.send("late");
    run.finding("send returns when closed");
  } catch (error) {
    if (!(error instanceof ConnectionClosedError)) run.finding(`send throws ${error} when closed`);
  }
  for (
    const [what, call] of [["ping", () => conn.ping()], ["drained", () => conn.drained()]] as const
  ) {
    try {
      const late: unknown = await call().then(() => "it resolves", (error) => error);
      const right = late instanceof ConnectionClosedError && !(late instanceof QueueFullError);
      if (!right) run.finding(`${what}() when closed: ${late}`);
    } catch (error) {
      run.finding(`${what}() throws when closed: ${error}`);
    }
  }
  conn.close();
  conn.terminate();
  conn.pause();
  conn.resume();
  if (conn.state !== "closed") run.finding(`a call moves it from closed to ${conn.state}`);
  if (ctx.connections.size > 0) run.finding("the context still has it");
  if (ctx.stats().queuedBytes !== 0) run.finding("the context counts queued bytes");
  for (const what of wire.misuses()) run.finding(`the stream: ${what}`);
  await ctx.shutdown();
}
