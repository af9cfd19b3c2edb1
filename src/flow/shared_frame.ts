import { headerSize, writeHeader } from "../protocol/frame_header.ts";
import { FIN } from "../protocol/opcode.ts";

// Frames that many queues refer to lie one behind the other in slabs. So what is broadcast in one turn is contiguous,
// and a queue that got all of it holds one stretch of the slab and makes one write of it, with nothing copied.
const SLAB = 32 * 1024;
/** Longer frames have memory of their own; shorter ones are copied where a queue can't refer to them. */
export const LARGEST_IN_SLAB = 8 * 1024;

let slab = new Uint8Array(0);
let used = 0;

/** A whole message as an unmasked frame, that is as a server sends it. Nobody ever changes its bytes. */
export class SharedFrame {
  /** What it lies in. */
  readonly bytes: Uint8Array;
  readonly start: number;
  /** Where the payload begins. */
  readonly body: number;
  readonly end: number;
  readonly opcode: number;

  private constructor(
    bytes: Uint8Array,
    start: number,
    end: number,
    length: number,
    opcode: number,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.body = end - length;
    this.end = end;
    this.opcode = opcode;
  }

  /** Encodes into memory of its own, for a message that is kept. */
  static alone(opcode: number, payload: Uint8Array): SharedFrame {
    const size = headerSize(payload.length, false) + payload.length;
    return SharedFrame.#encode(new Uint8Array(size), 0, size, opcode, payload);
  }

  /** Encodes behind what was shared before, for a message that goes to many now. */
  static inSlab(opcode: number, payload: Uint8Array): SharedFrame {
    const size = headerSize(payload.length, false) + payload.length;
    if (size > LARGEST_IN_SLAB) return SharedFrame.alone(opcode, payload);
    if (used + size > slab.length) {
      // The one before lives as long as some queue refers to it.
      slab = new Uint8Array(SLAB);
      used = 0;
    }
    const start = used;
    used += size;
    return SharedFrame.#encode(slab, start, size, opcode, payload);
  }

  static #encode(
    bytes: Uint8Array,
    start: number,
    size: number,
    opcode: number,
    payload: Uint8Array,
  ): SharedFrame {
    const body = writeHeader(bytes, start, FIN | opcode, payload.length, 0);
    bytes.set(payload, body);
    return new SharedFrame(bytes, start, start + size, payload.length, opcode);
  }

  /** The same message behind what was shared last. */
  again(): SharedFrame {
    return this.end - this.start > LARGEST_IN_SLAB
      ? this
      : SharedFrame.inSlab(this.opcode, this.payload());
  }

  /** Bytes of the payload. */
  get length(): number {
    return this.end - this.body;
  }

  /** A view of the payload. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.body, this.end);
  }
}

let viewed = new Uint8Array(0);
let viewedStart = 0;

/** A view of a stretch of shared frames. The receivers of a broadcast ask for the same one, one after the other. */
export function sharedView(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (
    viewed.buffer !== bytes.buffer || viewedStart !== start || viewed.length !== end - start
  ) {
    viewed = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    viewedStart = start;
  }
  return viewed;
}
