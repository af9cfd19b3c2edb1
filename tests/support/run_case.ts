import { assert, assertEquals } from "@std/assert";
import { ProtocolError } from "../../mod.ts";
import type { SocketCase } from "../conformance/autobahn_cases.ts";
import { sameBytes, toHex } from "./bytes.ts";
import { type EchoPair, echoPair, type End } from "./echo_pair.ts";
import { CLOSE, closeFrame, closePayload } from "./frames.ts";
import { mayFail } from "./failure.ts";

/** Runs a case against a connection of the library. */
export async function runCase(ours: End, test: SocketCase): Promise<void> {
  await using pair = await echoPair(ours);
  const { peer } = pair;
  const sending = send(pair, test);
  mayFail(sending, "awaited below, unless an answer is missing, which is worth more");
  for (const [at, answer] of test.answers.entries()) {
    const frame = await peer.frame();
    assert(frame !== null, `The stream ended before answer ${at}`);
    assertEquals([frame!.fin, frame!.rsv, frame!.opcode], [true, 0, answer.opcode], `answer ${at}`);
    assert(sameBytes(frame!.payload, answer.payload), `The payload of answer ${at} differs`);
  }
  await sending;
  if (test.end === "peer") await peer.send(closeFrame(1000));
  if (typeof test.end === "number") await failed(pair, test.end);
  else await closed(pair, ours, test.end === "peer" ? closePayload(1000) : test.close);
}

async function send({ peer }: EchoPair, { send, chop, withhold }: SocketCase): Promise<void> {
  if (chop === "frames") {
    for (const frame of send) await peer.send(frame);
    return;
  }
  let bytes = peer.encode(...send);
  if (withhold > 0) bytes = bytes.subarray(0, bytes.length - withhold);
  if (chop === "whole") await peer.write(bytes);
  else await peer.writeChopped(bytes, chop);
}

/** Expects both close frames, and then the end of the stream by the server (RFC 6455 7.1.1). */
async function closed(
  { peer, closed, errors }: EchoPair,
  ours: End,
  payload: Uint8Array,
): Promise<void> {
  const frame = await peer.frame();
  assertEquals([frame?.opcode, frame?.fin, frame?.rsv], [CLOSE, true, 0]);
  assertEquals(toHex(frame!.payload), toHex(payload));
  if (ours.startsWith("client")) await peer.conn.closeWrite();
  assertEquals(await peer.frame(), null);
  const record = await closed;
  assertEquals([record.wasClean, record.initiator, record.cause], [true, "remote", undefined]);
  assertEquals([record.unsentMessages, record.undelivered], [0, 0]);
  assertEquals(errors, []);
}

/** Expects a close frame with the code and the end of the library's direction; further input is ignored (RFC 6455 7.1.7). */
async function failed({ peer, conn, closed, errors }: EchoPair, code: number): Promise<void> {
  const frame = await peer.frame();
  assertEquals([frame?.opcode, frame?.fin, frame?.rsv], [CLOSE, true, 0]);
  assertEquals((frame!.payload[0] << 8) | frame!.payload[1], code);
  assertEquals(await peer.frame(), null);
  // Only the library's direction has ended: the peer's further bytes are read and dropped, so that no reset is sent.
  assertEquals(conn.state, "closing");
  await peer.send(closeFrame(1000));
  peer.close();
  const record = await closed;
  assertEquals([record.code, record.wasClean, record.initiator], [1006, false, "local"]);
  assertEquals([record.sent?.code, record.received], [code, null]);
  assert(record.cause instanceof ProtocolError);
  assertEquals(errors, [record.cause]);
}
