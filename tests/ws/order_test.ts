// Frames are handled one after the other: none is handled early while an earlier one is held.

import { assert, assertEquals } from "@std/assert";
import { CLOSE, frame, PING, PONG, TEXT } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { standstill, until } from "../support/until.ts";
import { both } from "./_implementation.ts";
import { serve, type Socket } from "./_serve.ts";

const SEGMENT = [
  frame(TEXT, "first"),
  frame(TEXT, "a"),
  frame(PING, "b"),
  frame(TEXT, "c"),
  frame(CLOSE, new Uint8Array([0x03, 0xe8])),
];
const IN_ORDER = ["message first, 1", "message a, 1", "ping b, 1", "message c, 1", "close 1000, 3"];

/** Records the events of a socket, each with the socket's state. */
function states(socket: Socket): string[] {
  const seen: string[] = [];
  for (const type of ["message", "ping", "close"]) {
    socket.on(type, (data) => seen.push(`${type} ${data}, ${socket.readyState}`));
  }
  return seen;
}

both(
  "pause: no frame is handled, and the socket stays open until the close frame is",
  async (ws) => {
    await using s = await serve(ws);
    using raw = await RawPeer.connect(s.port);
    const { socket } = await s.accepted.next();
    const seen = states(socket);
    socket.on("message", (data) => socket.send(`re: ${data}`));
    socket.pause();
    await raw.send(...SEGMENT);
    await standstill(() => seen.length + socket.readyState);
    assertEquals([seen, socket.readyState], [[], 1]);
    socket.resume();
    const opcodes = (await raw.frames()).map(({ opcode }) => opcode);
    raw.close();
    await until(() => seen.length === IN_ORDER.length);
    assertEquals(seen, IN_ORDER);
    assertEquals(opcodes.filter((opcode) => opcode !== PONG), [TEXT, TEXT, TEXT, CLOSE]);
    assert(opcodes.includes(PONG));
  },
);

both(
  "after pause in a listener of message only npm:ws emits later frames of the segment",
  async (ws) => {
    await using s = await serve(ws);
    using raw = await RawPeer.connect(s.port);
    const { socket } = await s.accepted.next();
    const seen = states(socket);
    socket.once("message", () => socket.pause());
    await raw.send(...SEGMENT);
    await until(() => seen.length > 0);
    await standstill(() => seen.length + socket.readyState);
    if (ws.is.pausesAtOnce) assertEquals([seen, socket.readyState], [IN_ORDER.slice(0, 1), 1]);
    else assertEquals(seen, IN_ORDER.slice(0, 4));
    socket.resume();
    await raw.next(CLOSE);
    raw.close();
    await until(() => seen.length === IN_ORDER.length);
    assertEquals(seen, IN_ORDER);
  },
);

both(
  "without allowSynchronousEvents the socket is open until the close frame is handled",
  async (ws) => {
    await using s = await serve(ws, { allowSynchronousEvents: false });
    using raw = await RawPeer.connect(s.port);
    const { socket } = await s.accepted.next();
    const seen = states(socket);
    await raw.send(...SEGMENT);
    await raw.next(CLOSE);
    raw.close();
    await until(() => seen.length === IN_ORDER.length);
    assertEquals(seen, IN_ORDER);
  },
);
