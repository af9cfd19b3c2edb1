import { headerSize, writeHeader } from "../protocol/frame_header.ts";
import { FIN, RSV1 } from "../protocol/opcode.ts";
import { NOTHING } from "../util/bytes.ts";

// Frames that many queues refer to lie one after the other in slabs. So what is broadcast in one turn is contiguous,
// and a queue that got all of it holds one stretch of the slab and makes one write of it, with nothing copied.
const SLAB = 32 * 1024;
/** Longer frames have memory of their own; shorter ones are copied if a queue can't refer to them. */
export const LARGEST_IN_SLAB = 8 * 1024;

interface Slab {
  bytes: Uint8Array;
  used: number;
}

const plain: Slab = { bytes: NOTHING, used: 0 };
// Apart from the others, so that they too are contiguous for their receivers.
const compressedSlab: Slab = { bytes: NOTHING, used: 0 };

/** A whole message as an unmasked frame, that is as a server sends it. Its bytes never change. */
export class SharedFrame {
  /** What it lies in. */
  readonly bytes: Uint8Array;
  readonly start: number;
  /** Where the payload begins. */
  readonly body: number;
  readonly end: number;
  /** The first byte of the frame, without FIN. */
  readonly opcode: number;
  /** Bytes of the payload, before compression. */
  readonly length: number;
  // The payload as others compress it, by how they do; the same for every frame of a prepared message.
  #compressed: Map<number, Uint8Array> | null = null;
  #compressedFrames: Map<number, SharedFrame> | null = null;

  private constructor(
    slab: Slab | null,
    opcode: number,
    payload: Uint8Array,
    length: number,
  ) {
    const size = headerSize(payload.length, false) + payload.length;
    if (slab === null || size > LARGEST_IN_SLAB) {
      this.bytes = new Uint8Array(size);
      this.start = 0;
    } else {
      if (slab.used + size > slab.bytes.length) {
        // The one before lives as long as some queue refers to it.
        slab.bytes = new Uint8Array(SLAB);
        slab.used = 0;
      }
      this.bytes = slab.bytes;
      this.start = slab.used;
      slab.used += size;
    }
    this.opcode = opcode;
    this.length = length;
    this.end = this.start + size;
    this.body = writeHeader(this.bytes, this.start, FIN | opcode, payload.length, 0);
    this.bytes.set(payload, this.body);
  }

  /** Encodes into memory of its own, for a message that is kept. */
  static standalone(opcode: number, payload: Uint8Array): SharedFrame {
    const frame = new SharedFrame(null, opcode, payload, payload.length);
    frame.#compressed = new Map();
    return frame;
  }

  /** Encodes after what was shared before, for a message that goes to many now. */
  static inSlab(opcode: number, payload: Uint8Array): SharedFrame {
    return new SharedFrame(plain, opcode, payload, payload.length);
  }

  /** The same message after what was shared last. */
  copyToSlab(): SharedFrame {
    if (this.end - this.start > LARGEST_IN_SLAB) return this;
    const frame = SharedFrame.inSlab(this.opcode, this.payload());
    frame.#compressed = this.#compressed;
    return frame;
  }

  /**
   * The same message compressed, once for all connections with the same parameters.
   *
   * @param key How they do it.
   * @param compress Compresses, into a buffer that is used again.
   */
  compressed(key: number, compress: (payload: Uint8Array) => Uint8Array): SharedFrame {
    let frame = this.#compressedFrames?.get(key);
    if (frame === undefined) {
      let bytes = this.#compressed?.get(key);
      if (bytes === undefined) {
        bytes = compress(this.payload());
        this.#compressed?.set(key, bytes = bytes.slice());
      }
      frame = new SharedFrame(compressedSlab, RSV1 | this.opcode, bytes, this.length);
      (this.#compressedFrames ??= new Map()).set(key, frame);
    }
    return frame;
  }

  /** Whether it is compressed. */
  get isCompressed(): boolean {
    return (this.opcode & RSV1) !== 0;
  }

  /** A view of the payload. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.body, this.end);
  }
}

let viewed = NOTHING;
let viewedStart = 0;

/** A view of a stretch of shared frames. The receivers of a broadcast ask for the same one, one after the other. */
export function sharedView(bytes: Uint8Array, start: number, end: number): Uint8Array {
  // A view that is kept keeps what it shows: a slab is little, a frame with memory of its own may be anything.
  if (bytes.length > SLAB) return bytes.subarray(start, end);
  if (
    viewed.buffer !== bytes.buffer || viewedStart !== start || viewed.length !== end - start
  ) {
    viewed = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    viewedStart = start;
  }
  return viewed;
}
