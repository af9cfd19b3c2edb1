import { assert, assertEquals, assertRejects } from "@std/assert";
import { Context, HandshakeError } from "../../mod.ts";
import { printable, quote, toJson } from "../../src/util/quote.ts";
import { closeFrame } from "../support/frames.ts";
import { rawListener, RawPeer, urlOf } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { firstUnsafe, UNSAFE } from "../support/unsafe.ts";

const SURROGATES = ["\ud800", "\udbff", "\udc00", "\udfff"];
const FINE = 'plain, ünïcödé, 漢字, 🎈, \u00a0, \u200b, \\, "';

Deno.test("fault 52: control characters are escaped, and JSON.parse restores them", () => {
  for (const char of [...UNSAFE, ...SURROGATES]) {
    const text = `a${char}b`;
    assertEquals(firstUnsafe(printable(text), "\t"), undefined);
    assertEquals(firstUnsafe(quote(text)), undefined);
    assertEquals(JSON.parse(quote(text)), text);
    assertEquals(firstUnsafe(toJson({ [text]: [text] })), undefined);
    assertEquals(JSON.parse(toJson({ [text]: [text] })), { [text]: [text] });
    if (char !== "\t") assertEquals(JSON.parse(`"${printable(text)}"`), text);
  }
  const all = UNSAFE.join("") + SURROGATES.join(" ");
  assertEquals(JSON.parse(quote(all)), all);
});

Deno.test("text without control characters is unchanged", () => {
  assertEquals(printable(FINE), FINE);
  assertEquals(quote(FINE), JSON.stringify(FINE));
  assertEquals(toJson({ a: [FINE, 1, null] }), JSON.stringify({ a: [FINE, 1, null] }));
  assertEquals(printable("\x1b[31m\x9b\u202e\n\t"), "\\u001b[31m\\u009b\\u202e\\n\t");
});

Deno.test("a long text is cut and ends with an ellipsis; half of a surrogate pair is escaped", () => {
  assertEquals(quote("abcdef", 3), '"abc"…');
  assertEquals(quote("abc", 3), '"abc"');
  assertEquals(quote("ab🎈", 3), '"ab\\ud83c"…');
});

/** A text that peers send in every place that they choose. */
const RUDE = UNSAFE.filter((char) => char.charCodeAt(0) >= 0x7f).join("");

Deno.test("fault 52: a close reason is quoted in the trace, the record's sentence and errors", async () => {
  const lines: string[] = [];
  using listener = rawListener();
  await using ctx = new Context({ debug: (line) => void lines.push(line) });
  const conn = ctx.connect(urlOf(listener));
  using peer = await RawPeer.accept(listener);
  await conn.opened;
  // The part that fits into 123 bytes of UTF-8.
  await peer.send(closeFrame(4001, `\x1b[2J${RUDE.slice(0, 20)}${RUDE.slice(-14)}`));
  peer.close();
  const error = await assertRejects(() => conn.receive());
  const record = await conn.closed;
  assert(record.reason.startsWith("\x1b[2J\x7f\x80"));
  for (const text of [String(record), (error as Error).message, ...lines]) {
    assertEquals(firstUnsafe(text), undefined, JSON.stringify(text));
  }
  assert(String(record).includes("\\u001b[2J\\u007f"), String(record));
  assert(lines.some((line) => line.includes("\\u001b[2J\\u007f")));
});

Deno.test("fault 52: a reason phrase, header fields and a path are quoted in the trace and errors", async () => {
  const lines: string[] = [];
  using listener = rawListener();
  await using ctx = new Context({ debug: (line) => void lines.push(line) });
  // As on the wire, where each character is one byte of Latin-1.
  const rude = "\x80\x9b31m\x9f";
  const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
  for (
    const answer of [
      `HTTP/1.1 403 ${rude}\r\n\r\n`,
      `HTTP/1.1 101 ${rude}\r\nUpgrade: ${rude}\r\n\r\n`,
      `HTTP/1.1 302 Found\r\nLocation: /${rude}\r\n\r\n`,
      `${rude}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\n${rude}\r\n\r\n`,
    ]
  ) {
    const conn = ctx.connect(urlOf(listener), { onError: () => {} });
    using peer = new RawPeer(await listener.accept(), "server");
    await peer.readHead();
    await peer.write(latin1(answer));
    peer.close();
    const error = await assertRejects(() => conn.opened, HandshakeError);
    assertEquals(firstUnsafe(error.message), undefined, JSON.stringify(error.message));
    assert(error.message.includes("\\u009b31m") || !answer.includes("403"), error.message);
  }
  const accepted = Promise.withResolvers<void>();
  const errors: string[] = [];
  const server = ctx.listen({
    hostname: "127.0.0.1",
    onConnect: () => accepted.resolve(),
    onHandshakeError: (error) => void errors.push((error as Error).message),
  });
  const line = `GET /${encodeURIComponent(RUDE)} HTTP/1.1`;
  using client = await RawPeer.dial(server.port);
  await client.write(latin1(
    `${line}\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Rude: ${rude}\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  ));
  await accepted.promise;
  for (const head of [`GET ${rude} HTTP/1.1`, `GET / HTTP/1.1\r\nHost: ${rude}`, rude]) {
    using wrong = await RawPeer.dial(server.port);
    await wrong.write(latin1(`${head}\r\n\r\n`));
    await wrong.rest();
  }
  await until(() => errors.length === 3);
  assert(lines.some((line) => line.includes("x-rude: \\u0080\\u009b31m\\u009f")), lines.join("\n"));
  for (const text of [...lines, ...errors]) {
    assertEquals(firstUnsafe(text), undefined, JSON.stringify(text));
  }
});

Deno.test("a debug function that throws or rejects doesn't affect the connection", async () => {
  const console_ = console.error, said: unknown[] = [];
  console.error = (text: unknown) => said.push(text);
  try {
    for (
      const debug of [
        () => {
          throw new Error("mine");
        },
        () => Promise.reject(new Error("mine")) as unknown as void,
      ]
    ) {
      await using ctx = new Context({ debug });
      const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (c, data) => c.send(data) });
      await using conn = ctx.connect(listener.url);
      await conn.opened;
      conn.send("hello");
      assertEquals(await conn.receive(), "hello");
    }
  } finally {
    console.error = console_;
  }
  assert(said.length > 0 && said.every((text) => text === "A debug function failed:"));
});
