import type { Role } from "../src/protocol/opcode.ts";
import { join } from "../tests/support/bytes.ts";
import { decode, type DecodeOptions } from "../tests/support/decoding.ts";
import { frame, masked } from "../tests/support/frames.ts";
import type { Random } from "./random.ts";
import { finding, same, type Target } from "./target.ts";

const TEXTS = ["", "a", "héllo", "\u{1f600}\u20ac", "x".repeat(200)];

/** A sequence of frames, mostly legal. */
export function makeFrames(random: Random, clientSide: boolean): Uint8Array {
  const frames: Uint8Array[] = [];
  let open = false;
  for (let i = 1 + random.below(6); i > 0; i--) {
    const control = random.oneIn(4);
    const opcode = random.oneIn(30)
      ? random.below(16)
      : control
      ? random.pick([8, 9, 9, 10])
      : open
      ? 0
      : 1 + random.below(2);
    const fin = control || random.oneIn(2);
    if (!control) open = !fin;
    let payload = random.oneIn(2)
      ? new TextEncoder().encode(random.pick(TEXTS).repeat(1 + random.below(3)))
      : random.bytes(random.length());
    if (opcode === 8 && !random.oneIn(4)) {
      payload = join([
        Uint8Array.of(random.pick([3, 3, 3, 15, 19]), random.below(256)),
        payload.subarray(0, random.below(20)),
      ]);
    }
    if (control && !random.oneIn(10)) payload = payload.subarray(0, 125);
    // Text in fragments that may end at any byte.
    if (open && random.oneIn(3)) payload = payload.subarray(0, random.below(payload.length + 1));
    const bytes = frame(opcode, payload, { fin, rsv: random.oneIn(40) ? random.below(8) : 0 });
    frames.push(clientSide ? masked(bytes, random.bytes(4)) : bytes);
  }
  const bytes = join(frames);
  return random.oneIn(2) ? bytes : random.mutate(bytes);
}

/** The first byte of an input decides which side has sent it. */
export function roleOf(input: Uint8Array): Role {
  return (input[0] & 1) === 0 ? "server" : "client";
}

export const frames: Target = {
  name: "frames",
  make(random) {
    const client = random.oneIn(2);
    return join([Uint8Array.of(client ? 0 : 1), makeFrames(random, client)]);
  },
  judge(input, random) {
    if (input.length === 0) return;
    const role = roleOf(input), bytes = input.slice(1);
    const options: DecodeOptions = {
      maxMessageSize: random.pick([0, 10, 100, 1000]),
      lend: random.oneIn(2),
      allowedRsv: random.oneIn(5) ? 0x20 : 0,
    };
    const whole = decode(role, [bytes], options);
    const cuts = [random.split(bytes), Array.from(bytes, (byte) => Uint8Array.of(byte))];
    // Every split in two, for short inputs.
    const most = Math.min(bytes.length, 200);
    for (let at = 1; at < most; at++) cuts.push([bytes.slice(0, at), bytes.slice(at)]);
    for (const pieces of cuts) {
      const cut = decode(role, pieces, options, 3);
      same(whole.events, cut.events, `whole and cut after ${pieces[0]?.length} differ`);
      if (cut.assembler.buffered > Math.max(bytes.length, 0)) finding("more is kept than came");
    }
  },
};
