import { assert, assertEquals } from "@std/assert";
import { Room, take } from "./_room.ts";

const text = (i: number) => `${i} ` + "the same words again and again ".repeat(20);

for (const contextTakeover of [true, false]) {
  const name = contextTakeover
    ? "for each receiver with context takeover"
    : "once for all receivers";
  Deno.test(`broadcasts are compressed ${name}, between other messages`, async () => {
    await using room = new Room({ compression: { contextTakeover, threshold: 100 } });
    const clients = [
      await room.join({ compression: true }),
      await room.join({ compression: true }),
      await room.join(),
    ];
    const prepared = room.server.prepare(text(-1));
    const large = "large ".repeat(30_000);
    for (let turn = 0; turn < 3; turn++) {
      const expected: string[] = [];
      const before = room.members.map((member) => member.stats().bytesSent);
      for (let i = 0; i < 20; i++) {
        const data = i % 4 === 0 ? "short" : i % 4 === 1 ? prepared : text(i);
        assertEquals(room.server.broadcast(data).failed, 0);
        expected.push(i % 4 === 0 ? "short" : i % 4 === 1 ? text(-1) : text(i));
        if (i === 10) {
          for (const member of room.members) member.send("private");
          expected.push("private");
          room.server.broadcast(large);
          expected.push(large);
        }
      }
      for (const client of clients) assertEquals(await take(client, expected.length), expected);
      const sent = room.members.map((member, i) => member.stats().bytesSent - before[i]);
      assert(sent[0] < sent[2] / 10 && sent[1] === sent[0], `${sent} bytes`);
      for (const member of room.members) {
        await member.drained();
        assertEquals([member.queuedBytes, member.queuedMessages], [0, 0]);
      }
    }
  });
}

Deno.test("a prepared message is compressed if that was negotiated and isn't switched off", async () => {
  await using room = new Room({ compression: { contextTakeover: false } });
  const client = await room.join({ compression: true });
  const [member] = room.members;
  const message = room.server.prepare(text(0).repeat(10));
  const sizes = [];
  for (const options of [{}, {}, { compress: false }]) {
    const before = member.stats().bytesSent;
    member.send(message, options);
    assertEquals(await take(client, 1), [text(0).repeat(10)]);
    await member.drained();
    sizes.push(member.stats().bytesSent - before);
  }
  assert(sizes[0] === sizes[1] && sizes[0] < message.byteLength / 10);
  assertEquals(sizes[2], message.byteLength + 4);
});
