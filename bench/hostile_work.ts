import { HeadParser } from "../src/handshake/head_parser.ts";
import { parseExtensions } from "../src/handshake/extension_list.ts";
import { MessageInflater } from "../src/deflate/message_inflater.ts";
import { MessageAssembler } from "../src/protocol/message_assembler.ts";
import { repeat, utf8 } from "../tests/support/bytes.ts";
import { CONTINUATION, frame, masked, PING, TEXT } from "../tests/support/frames.ts";
import { deflateRawSync } from "node:zlib";

// Decoding work per byte: for each shape of input, time against size. Twice the size may take twice the time, and no more.

const SINK = { message() {}, control() {}, inflated() {} };

/** Decodes bytes in pieces of a size. */
function decodeAll(bytes: Uint8Array, piece: number): void {
  const { frames } = new MessageAssembler("server", SINK, 0, false, 0);
  for (let at = 0; at < bytes.length; at += piece) {
    const part = bytes.slice(at, at + piece);
    frames.decode({ bytes: part, view: new DataView(part.buffer) }, 0, part.length);
  }
}

const start = masked(frame(TEXT, "", { fin: false }));
const FRAGMENT = masked(frame(CONTINUATION, "x", { fin: false }));
const EMPTY = masked(frame(CONTINUATION, "", { fin: false }));

/** Makes an input of about `size` bytes and returns what has to be timed. */
const SHAPES: Record<string, (size: number) => () => void> = {
  "fragments of one byte": (size) => {
    const bytes = repeat(FRAGMENT, size / FRAGMENT.length);
    return () => decodeAll(withStart(bytes), 65536);
  },
  "empty fragments": (size) => {
    const bytes = repeat(EMPTY, size / EMPTY.length);
    return () => decodeAll(withStart(bytes), 65536);
  },
  "one message, segments of one byte": (size) => {
    const bytes = masked(frame(TEXT, "x".repeat(size / 4)));
    return () => decodeAll(bytes, 1);
  },
  "one message in small pieces": (size) => {
    const bytes = masked(frame(TEXT, "x".repeat(size)));
    return () => decodeAll(bytes, 100);
  },
  "empty messages": (size) => {
    const bytes = repeat(masked(frame(TEXT, "")), size / 6);
    return () => decodeAll(bytes, 65536);
  },
  "pings": (size) => {
    const bytes = repeat(masked(frame(PING, "x")), size / 7);
    return () => decodeAll(bytes, 65536);
  },
  "multi-byte text": (size) => {
    const bytes = masked(frame(TEXT, "\u{1f600}".repeat(size / 4)));
    return () => decodeAll(bytes, 4099);
  },
  "a head that drips": (size) => {
    const bytes = utf8(`GET / HTTP/1.1\r\n${"X: y\r\n".repeat(size / 24)}`);
    return () => {
      const parser = new HeadParser(bytes.length + 1);
      for (let at = 0; at < bytes.length; at++) parser.push(bytes.subarray(at, at + 1));
    };
  },
  "a head of line ends": (size) => {
    const bytes = utf8(`GET / HTTP/1.1\r\nX: y${" ".repeat(size)}`);
    return () => {
      const parser = new HeadParser(bytes.length + 1);
      for (let at = 0; at < bytes.length; at += 512) parser.push(bytes.subarray(at, at + 512));
    };
  },
  "a list of extensions": (size) => {
    const list = "a; b=c, ".repeat(size / 8);
    return () => void parseExtensions(list);
  },
  "a list of white space": (size) => {
    const list = `a${" ".repeat(size)};b`;
    return () => void parseExtensions(list);
  },
  "a quoted string": (size) => {
    const list = `a; b="${"c".repeat(size)}"`;
    return () => void parseExtensions(list);
  },
  "compressed, in pieces of one byte": (size) => {
    const packed = new Uint8Array(
      deflateRawSync(crypto.getRandomValues(new Uint8Array(size / 16))),
    );
    return () => {
      const settings = { windowBits: 15, takeover: true, maxMessageSize: 0 };
      const inflater = new MessageInflater(settings, { inflatedMessage() {} });
      for (let at = 0; at < packed.length; at++) {
        inflater.push(false, packed, at, at + 1, false, () => {});
      }
      inflater.close();
    };
  },
};

function withStart(bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(start.length + bytes.length);
  all.set(start);
  all.set(bytes, start.length);
  return all;
}

const SIZES = [32, 64, 128, 256, 512].map((kib) => kib * 1024);
// Noise of the machine and of caches is not growth: four doublings that each took twice as long as they should would be
// quadratic, and be 16 times above.
const SUPERLINEAR = 4;

function best(run: () => void): number {
  let least = Infinity;
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    run();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

/** Prints the table; returns 1 where a shape is superlinear. */
export function measureWork(): number {
  const bad: string[] = [];
  console.log(
    `Decoding, ns per byte:\n\n| shape | ${
      SIZES.map((size) => `${size / 1024} KiB`).join(" | ")
    } | growth |`,
  );
  console.log(`|---|${SIZES.map(() => "---|").join("")}---|`);
  for (const [name, make] of Object.entries(SHAPES)) {
    best(make(SIZES[0]));
    const costs = SIZES.map((size) => best(make(size)) * 1e6 / size);
    const growth = costs.at(-1)! / costs[0];
    if (growth > SUPERLINEAR) bad.push(name);
    console.log(
      `| ${name} | ${costs.map((cost) => cost.toFixed(1)).join(" | ")} | ${growth.toFixed(2)} |`,
    );
  }
  for (const name of bad) console.log(`FAILED: ${name} is superlinear`);
  return bad.length === 0 ? 0 : 1;
}
