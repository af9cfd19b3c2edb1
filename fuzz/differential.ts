import { Receiver } from "ws";
import { join } from "../tests/support/bytes.ts";
import { decode } from "../tests/support/decoding.ts";
import { makeFrames, roleOf } from "./frames.ts";
import { finding, same, type Target } from "./target.ts";

// The same bytes go to our decoder and to that of `ws`; both must find the same messages, and the same close code or a
// listed difference.

type Event = [string, ...unknown[]];

/**
 * Differences on purpose. Each entry checks our error, and returns what `ws` does instead.
 *
 * - RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length". `ws` accepts any form.
 * - RFC 6455 5.2: the highest bit of a length must be 0, which is a violation (1002). To `ws` it is a large length (1009).
 * - A length above 2^53 fails (1009) as soon as it is read, whatever else is wrong with its header. `ws` looks at the opcode
 *   first, so that a continuation of no message is its violation (1002).
 * - RFC 6455 8.1: text that isn't UTF-8 fails at its first bad byte here, and at the end of the message there; what comes
 *   before that end may fail `ws` for another reason, or never come.
 */
const DIFFERENCES: RegExp[] = [
  /not in its minimal form/,
  /its highest bit set/,
  /announces more than 2\^53 bytes/,
  /text message that is not UTF-8/,
];

const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Decodes the bytes with `ws`. */
async function theirs(bytes: Uint8Array, server: boolean, maxPayload: number): Promise<Event[]> {
  const events: Event[] = [];
  // deno-lint-ignore no-explicit-any
  const receiver = new (Receiver as any)({
    isServer: server,
    maxPayload,
    binaryType: "nodebuffer",
  });
  const failed = new Promise<void>((resolve) => {
    // deno-lint-ignore no-explicit-any
    receiver.on("error", (error: any) => {
      const code = Object.getOwnPropertySymbols(error)
        .find((symbol) => symbol.description === "status-code");
      events.push(["fail", code === undefined ? String(error) : error[code]]);
      resolve();
    });
  });
  receiver.on("message", (data: Uint8Array, binary: boolean) => {
    events.push(
      binary ? ["binary", hex(data)] : [
        "text",
        new TextDecoder("utf-8", {
          ignoreBOM: true,
        }).decode(data),
      ],
    );
  });
  receiver.on("ping", (data: Uint8Array) => events.push(["ping", hex(data)]));
  receiver.on("pong", (data: Uint8Array) => events.push(["pong", hex(data)]));
  receiver.on("conclude", (code: number, reason: Uint8Array) => {
    events.push(["close", code, new TextDecoder().decode(reason)]);
  });
  await Promise.race([
    failed,
    // Once this has been written, everything has been decoded.
    new Promise<void>((resolve) => {
      // deno-lint-ignore no-explicit-any
      receiver.write(bytes as any, () => setTimeout(resolve, 0));
    }),
  ]);
  receiver.destroy();
  return events;
}

function failed(events: readonly unknown[]): boolean {
  return (events.at(-1) as Event | undefined)?.[0] === "fail";
}

export const differential: Target = {
  name: "differential",
  make(random) {
    const client = random.oneIn(2);
    return join([Uint8Array.of(client ? 0 : 1), makeFrames(random, client)]);
  },
  async judge(input, random) {
    if (input.length < 2) return;
    const role = roleOf(input), bytes = input.slice(1);
    const limit = random.pick([0, 100, 1000]);
    // In one piece: the moment at which either decoder notices a violation depends on how the bytes arrive.
    const options = { maxMessageSize: limit };
    let ours = decode(role, [bytes], options);
    let other = await theirs(bytes.slice(), role === "server", limit);
    if (failed(ours.events) !== failed(other)) {
      // One decoder checks a header byte by byte, the other only when more of it is there, so more bytes have to follow.
      const more = join([bytes, new Uint8Array(20)]);
      ours = decode(role, [more], options);
      other = await theirs(more, role === "server", limit);
    }
    const { error } = ours;
    if (error !== null && DIFFERENCES.some((difference) => difference.test(error.message))) {
      const before = ours.events.slice(0, -1);
      same(
        before,
        other.slice(0, before.length),
        "before a listed difference, ws has other events",
      );
      return;
    }
    same(ours.events, other, `ours and those of ws differ (${error?.message})`);
    if (failed(ours.events) !== (error !== null)) finding("an error without a failure");
  },
};
