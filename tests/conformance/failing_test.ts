import { assert, assertEquals } from "@std/assert";
import { ProtocolError } from "../../mod.ts";
import { text } from "../support/bytes.ts";
import { echoPair, ENDS } from "../support/echo_pair.ts";
import {
  BINARY,
  CLOSE,
  closeFrame,
  CONTINUATION,
  frame,
  masked,
  PING,
  PONG,
  readClose,
  TEXT,
} from "../support/frames.ts";
import type { RawPeer } from "../support/raw_peer.ts";

const BAD = frame(TEXT, "", { rsv: 4 });

async function expectText(peer: RawPeer, expected: string): Promise<void> {
  const frame = await peer.frame();
  assertEquals([frame?.opcode, text(frame!.payload)], [TEXT, expected]);
}

async function expectClose(peer: RawPeer, code: number): Promise<void> {
  const frame = await peer.frame();
  assertEquals(frame?.opcode, CLOSE);
  assertEquals(readClose(frame!.payload).code, code);
  assertEquals(await peer.frame(), null);
}

for (const ours of ENDS) {
  Deno.test(`RFC 6455 7.1.7 by a ${ours}: frames after a violation are ignored`, async () => {
    const seen: unknown[] = [];
    await using all = await echoPair(ours, {
      onMessage: (conn, data) => {
        seen.push(data);
        conn.send(data);
      },
      onPing: () => seen.push("ping"),
    });
    const { peer, conn, closed, errors } = all;
    await peer.send(frame(TEXT, "a"), frame(TEXT, "b"), BAD, frame(TEXT, "c"), frame(PING), BAD);
    await expectText(peer, "a");
    await expectText(peer, "b");
    await expectClose(peer, 1002);
    // More than one read returns. If it weren't read, the kernel would reset the connection.
    await peer.send(frame(BINARY, new Uint8Array(300_000)), frame(TEXT, "d"), closeFrame(1000));
    assertEquals(conn.state, "closing");
    peer.close();
    await closed;
    assertEquals([seen, errors.length], [["a", "b"], 1]);
  });

  Deno.test(`RFC 6455 7.1.7 by a ${ours}: onError can't send any more, and close in it has no effect`, async () => {
    const states: string[] = [];
    await using all = await echoPair(ours, {
      onError: (conn) => {
        states.push(conn.state);
        conn.close(4000, "from onError");
      },
    });
    const { peer, closed } = all;
    await peer.send(frame(TEXT, "a"), BAD);
    await expectText(peer, "a");
    await expectClose(peer, 1002);
    peer.close();
    const record = await closed;
    assertEquals([record.sent?.code, record.code, record.wasClean], [1002, 1006, false]);
    assertEquals(states, ["closing"]);
  });

  Deno.test(`RFC 6455 7.1.7 by a ${ours}: a violation after our own close frame doesn't lead to a second one`, async () => {
    await using all = await echoPair(ours, { onMessage: () => {} });
    const { peer, conn, closed, errors } = all;
    conn.send("last words");
    conn.close(4001, "done");
    await peer.send(BAD);
    // Queued messages are sent, and one close frame.
    await expectText(peer, "last words");
    await expectClose(peer, 4001);
    peer.close();
    const record = await closed;
    assertEquals([record.sent?.code, record.received, record.wasClean], [4001, null, false]);
    assert(record.cause instanceof ProtocolError);
    assertEquals(errors, [record.cause]);
  });

  Deno.test(`RFC 6455 7.1.2 by a ${ours}: crossing close frames complete the handshake`, async () => {
    await using all = await echoPair(ours);
    const { peer, conn, closed, errors } = all;
    conn.close(4001, "ours");
    await peer.send(closeFrame(4002, "theirs"));
    const answer = await peer.frame();
    assertEquals([answer?.opcode, readClose(answer!.payload).code], [CLOSE, 4001]);
    if (ours.startsWith("client")) await peer.conn.closeWrite();
    assertEquals(await peer.frame(), null);
    const record = await closed;
    assertEquals([record.code, record.reason, record.wasClean], [4002, "theirs", true]);
    assertEquals([record.sent?.code, record.initiator, errors], [4001, "local", []]);
    assertEquals(
      String(record),
      'sent 4001 (private use) "ours"; received 4002 (private use) "theirs"',
    );
  });

  Deno.test(`RFC 6455 5.5.1 by a ${ours}: after our close frame, pings aren't answered and messages aren't delivered`, async () => {
    const seen: unknown[] = [];
    await using all = await echoPair(ours, { onMessage: (_conn, data) => void seen.push(data) });
    const { peer, conn, closed } = all;
    conn.close();
    assertEquals((await peer.frame())?.opcode, CLOSE);
    await peer.send(frame(PING, "p"), frame(TEXT, "late"), closeFrame(1000));
    if (ours.startsWith("client")) await peer.conn.closeWrite();
    assertEquals(await peer.frame(), null);
    const record = await closed;
    assertEquals([record.wasClean, record.undelivered, seen], [true, 1, []]);
  });

  Deno.test(`RFC 6455 5.1 by a ${ours}: a frame with the wrong masking fails the connection`, async () => {
    await using all = await echoPair(ours);
    const { peer, closed } = all;
    await peer.send(frame(TEXT, "a"));
    await peer.write(ours.startsWith("listener") ? frame(TEXT, "b") : masked(frame(TEXT, "b")));
    await expectText(peer, "a");
    await expectClose(peer, 1002);
    peer.close();
    assertEquals((await closed).sent?.code, 1002);
  });

  for (const split of ["one frame", "fragments"]) {
    Deno.test(`RFC 6455 10.4 by a ${ours}: a message above maxMessageSize in ${split} leads to 1009`, async () => {
      await using all = await echoPair(ours, { maxMessageSize: 1000 });
      const { peer, closed, errors } = all;
      const fits = frame(BINARY, new Uint8Array(1000));
      if (split === "one frame") {
        // The header is enough: no byte of the payload is sent.
        const header = peer.encode(frame(BINARY, new Uint8Array(1001)));
        const bytes = peer.encode(fits);
        await peer.write(bytes);
        await peer.write(header.subarray(0, header.length - 1001));
      } else {
        await peer.send(
          fits,
          frame(BINARY, new Uint8Array(600), { fin: false }),
          frame(PING, "p"),
          frame(CONTINUATION, new Uint8Array(401), { fin: true }),
        );
      }
      const answers = [(await peer.frame())!.opcode];
      if (split === "fragments") answers.push((await peer.frame())!.opcode);
      assertEquals(answers.sort(), split === "fragments" ? [PONG, BINARY].sort() : [BINARY]);
      await expectClose(peer, 1009);
      peer.close();
      assertEquals((await closed).sent?.code, 1009);
      assert(String(errors[0]).includes("the limit is 1000"));
    });
  }

  Deno.test(`RFC 6455 10.4 by a ${ours}: maxMessageSize is 1 MiB by default, inclusive`, async () => {
    await using all = await echoPair(ours, { maxMessageSize: undefined });
    const { peer, closed } = all;
    await peer.send(frame(BINARY, new Uint8Array(1024 * 1024)));
    assertEquals((await peer.frame())?.payload.length, 1024 * 1024);
    await peer.send(frame(BINARY, new Uint8Array(1024 * 1024 + 1)));
    await expectClose(peer, 1009);
    peer.close();
    await closed;
  });

  for (
    const [name, bytes] of [
      ["between frames", new Uint8Array(0)],
      ["in the middle of a header", frame(TEXT, "x").subarray(0, 1)],
      ["in the middle of a payload", frame(TEXT, "hello").subarray(0, 4)],
      ["in the middle of a message", frame(TEXT, "hello", { fin: false })],
    ] as const
  ) {
    Deno.test(`RFC 6455 7.1.5 by a ${ours}: a peer that vanishes ${name} gives 1006 with the cause`, async () => {
      await using all = await echoPair(ours);
      const { peer, closed, errors } = all;
      await peer.write(peer.encode(bytes));
      await peer.conn.closeWrite();
      const record = await closed;
      assertEquals([record.code, record.reason, record.wasClean], [1006, "", false]);
      assertEquals([record.sent, record.received, record.initiator], [null, null, null]);
      assert(record.cause instanceof Deno.errors.UnexpectedEof);
      assertEquals(errors, [record.cause]);
    });
  }

  Deno.test(`the failure of a ${ours}'s callback is reported, and the connection continues`, async () => {
    let count = 0;
    await using all = await echoPair(ours, {
      onMessage: (conn, data) => {
        conn.send(data);
        count++;
        if (count === 1) throw new Error("thrown");
        if (count === 2) return Promise.reject(new Error("rejected"));
      },
      onPing: () => {
        throw new Error("in onPing");
      },
    });
    const { peer, closed, errors } = all;
    await peer.send(frame(TEXT, "a"), frame(PING, "p"), frame(TEXT, "b"), frame(TEXT, "c"));
    const answers = [];
    for (let n = 0; n < 4; n++) answers.push(text((await peer.frame())!.payload));
    assertEquals(answers.filter((answer) => answer !== "p"), ["a", "b", "c"]);
    await peer.send(closeFrame(1000));
    if (ours.startsWith("client")) await peer.conn.closeWrite();
    assertEquals((await closed).wasClean, true);
    assertEquals(errors.map(String).sort(), [
      "Error: in onPing",
      "Error: rejected",
      "Error: thrown",
    ]);
  });
}
