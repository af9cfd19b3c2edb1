import { LARGEST, SIZES } from "../../src/memory/buffer_pool.ts";
import { SendQueue } from "../../src/flow/send_queue.ts";
import { applyMask, randomKey } from "../../src/protocol/mask.ts";
import { MessageAssembler } from "../../src/protocol/message_assembler.ts";
import { BINARY, FIN, TEXT } from "../../src/protocol/opcode.ts";
import { decodeText } from "../../src/protocol/text.ts";
import { isUtf8 } from "../../src/protocol/utf8.ts";

const KEY = 0x3d21fa37;
/** Small messages as a busy connection brings them: many in one read. */
const BATCH = 64;
const ascii = (length: number) => "abcdefghijklmnop".repeat(length / 16);
const source = (bytes: Uint8Array) => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
});

/** Masked frames of a client, one after the other, as a server reads them. */
function frames(first: number, payload: Uint8Array, count: number): Uint8Array {
  const queue = new SendQueue(() => KEY);
  for (let i = 0; i < count; i++) queue.push(first, payload, 1, false);
  const parts: number[] = [];
  for (let block = queue.shift(); block !== null; block = queue.shift()) {
    parts.push(...block.bytes.subarray(block.start, block.end));
    queue.taken(block);
  }
  return new Uint8Array(parts);
}

function benchDecoder(name: string, opcode: number, payload: Uint8Array, count: number): void {
  const sink = { message() {}, control() {}, inflated() {} };
  const assembler = new MessageAssembler("server", sink, 0, false, 0);
  const wire = frames(FIN | opcode, payload, count);
  const read = source(wire.slice());
  Deno.bench(`decoder, ${name}`, { group: "decoder" }, () => {
    // Unmasking happens in place, so the masked frames have to be restored.
    read.bytes.set(wire);
    assembler.frames.decode(read, 0, wire.length);
  });
}

function drain(queue: SendQueue): void {
  for (let block = queue.shift(); block !== null; block = queue.shift()) queue.taken(block);
}

function benchEncoder(
  name: string,
  masked: boolean,
  count: number,
  push: (queue: SendQueue) => void,
): void {
  const queue = new SendQueue(masked ? randomKey : null);
  Deno.bench(`encoder, ${name}`, { group: "encoder" }, () => {
    for (let i = 0; i < count; i++) push(queue);
    drain(queue);
  });
}

const small = new TextEncoder().encode(ascii(64));
const medium = new Uint8Array(16 * 1024).fill(97);
const large = new Uint8Array(SIZES[LARGEST] - 14).fill(97);

benchDecoder(`${BATCH} × 64 B binary`, BINARY, small, BATCH);
benchDecoder(`${BATCH} × 64 B text`, TEXT, small, BATCH);
benchDecoder("16 KiB binary", BINARY, medium, 1);

const text = ascii(64), greek = "λόγος ".repeat(6);
benchEncoder(`server, ${BATCH} × 64 B binary`, false, BATCH, (queue) => {
  queue.push(FIN | BINARY, small, 1, false);
});
benchEncoder(`server, ${BATCH} × 64 B text`, false, BATCH, (queue) => {
  queue.pushText(FIN | TEXT, text, 1, Infinity);
});
benchEncoder(`server, ${BATCH} × Greek text`, false, BATCH, (queue) => {
  queue.pushText(FIN | TEXT, greek, 1, Infinity);
});
benchEncoder(`client, ${BATCH} × 64 B binary`, true, BATCH, (queue) => {
  queue.push(FIN | BINARY, small, 1, false);
});
benchEncoder("client, 64 KiB binary", true, 1, (queue) => {
  queue.push(FIN | BINARY, large, 1, false);
});

for (const [name, bytes] of [["64 B", small], ["16 KiB", medium], ["64 KiB", large]] as const) {
  const { view } = source(bytes.slice());
  Deno.bench(`mask, ${name}`, { group: "mask" }, () => applyMask(view, 0, view.byteLength, KEY));
}

const mixed = new TextEncoder().encode("λόγος, 語, 🙂 and ASCII. ".repeat(512));
const plain = source(medium);
Deno.bench("UTF-8, validate 16 KiB ASCII", { group: "UTF-8" }, () => {
  isUtf8(medium);
});
Deno.bench("UTF-8, validate mixed scripts", { group: "UTF-8" }, () => {
  isUtf8(mixed);
});
Deno.bench("UTF-8, decode 64 B ASCII", { group: "UTF-8" }, () => {
  decodeText(plain.bytes, plain.view, 0, 64);
});
