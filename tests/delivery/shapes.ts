import { join, utf8 } from "../support/bytes.ts";
import { Deflate } from "../support/deflate.ts";
import { BINARY, CONTINUATION, frame, PING, TEXT } from "../support/frames.ts";
import { keyOf } from "../support/messages.ts";
import { randomBytes } from "../support/random.ts";

/** The option `readAhead` in these tests. */
export const READ_AHEAD = 16 * 1024;

/** Messages of a kind: their frames without masks, and their contents. */
export interface Shape {
  readonly name: string;
  /** The extension to negotiate; `""` for none. */
  readonly extension: string;
  readonly frames: Uint8Array[];
  readonly keys: string[];
}

const DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

function plain(name: string, count: number, size: number): Shape {
  const messages = Array.from(
    { length: count },
    (_, i) => i % 2 === 0 ? `${i}é`.padEnd(size, "text ").slice(0, size) : randomBytes(size, i + 1),
  );
  return {
    name,
    extension: "",
    frames: messages.map((data) => frame(typeof data === "string" ? TEXT : BINARY, data)),
    keys: messages.map(keyOf),
  };
}

function compressed(): Shape {
  const deflate = new Deflate(false);
  // Compressed messages that are short on the wire, and much longer than `readAhead` once inflated. The last ones are small.
  const messages = [200_000, 100_000, 10, 0, 50_000, 1].map((size, i) =>
    utf8(`${i}`.padEnd(size, "lorem ipsum ").slice(0, size))
  );
  return {
    name: "compressed",
    extension: DEFLATE,
    frames: messages.map((data) => frame(BINARY, deflate.compress(data), { rsv: 4 })),
    keys: messages.map(keyOf),
  };
}

function fragmented(): Shape {
  const frames: Uint8Array[] = [], keys: string[] = [];
  for (let n = 0; n < 6; n++) {
    const parts = Array.from({ length: 8 }, (_, i) => randomBytes(i * 700 * (n % 3), n * 10 + i));
    parts.forEach((part, i) => {
      frames.push(frame(i === 0 ? BINARY : CONTINUATION, part, { fin: i === parts.length - 1 }));
      if (i % 3 === 0) frames.push(frame(PING, `${i}`));
    });
    keys.push(keyOf(join(parts)));
  }
  return { name: "fragmented", extension: "", frames, keys };
}

export const SHAPES: Shape[] = [
  plain("empty", 40, 0),
  plain("1 byte", 40, 1),
  plain("64 KiB", 5, 64 * 1024),
  plain("larger than readAhead", 4, 5 * READ_AHEAD + 1),
  compressed(),
  fragmented(),
];
