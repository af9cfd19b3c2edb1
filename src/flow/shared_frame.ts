import { headerSize, writeHeader } from "../protocol/frame_header.ts";
import { FIN, RSV1 } from "../protocol/opcode.ts";
import { NOTHING } from "../util/bytes.ts";

// Frames that many queues refer to are encoded one after the other into slabs. So the broadcasts of one turn are
// contiguous: a queue that got all of them refers to one range of the slab, which is written at once without a copy.
const SLAB = 32 * 1024;
/** Longer frames have memory of their own. Shorter ones are copied if a queue can't refer to them. */
export const LARGEST_IN_SLAB = 8 * 1024;

interface Slab {
  bytes: Uint8Array;
  used: number;
}

const plain: Slab = { bytes: NOTHING, used: 0 };
// A slab of their own, so that compressed frames are contiguous, too.
const compressedSlab: Slab = { bytes: NOTHING, used: 0 };

/** A whole message as an unmasked frame, as a server sends it. Its bytes never change. */
export class SharedFrame {
  /** The memory that contains the frame, from `start` to `end`. */
  readonly bytes: Uint8Array;
  readonly start: number;
  /** The position of the payload. */
  readonly body: number;
  readonly end: number;
  /** The first byte of the frame, without FIN. */
  readonly opcode: number;
  /** Bytes of the payload, before compression. */
  readonly length: number;
  // The compressed payload by parameters of compression; shared by all frames of a prepared message.
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
        // The previous slab lives as long as a queue refers to it.
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

  /** Encodes a message that is kept, into memory of its own. */
  static standalone(opcode: number, payload: Uint8Array): SharedFrame {
    const frame = new SharedFrame(null, opcode, payload, payload.length);
    frame.#compressed = new Map();
    return frame;
  }

  /** Encodes a message that is sent to many now, into the current slab. */
  static inSlab(opcode: number, payload: Uint8Array): SharedFrame {
    return new SharedFrame(plain, opcode, payload, payload.length);
  }

  /** Copies the frame to the current slab, so that it is contiguous with others. A large frame isn't copied. */
  copyToSlab(): SharedFrame {
    if (this.end - this.start > LARGEST_IN_SLAB) return this;
    const frame = SharedFrame.inSlab(this.opcode, this.payload());
    frame.#compressed = this.#compressed;
    return frame;
  }

  /**
   * Returns the same message compressed, once for all connections with the same parameters.
   *
   * @param key Identifies the parameters.
   * @param compress Compresses a payload. The result is copied, since its buffer is reused.
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

/** Returns a view of shared frames. The last one is cached: all connections of a broadcast ask for the same one. */
export function sharedView(bytes: Uint8Array, start: number, end: number): Uint8Array {
  // The cached view keeps its memory alive. A slab is small; a frame with memory of its own may be large.
  if (bytes.length > SLAB) return bytes.subarray(start, end);
  if (
    viewed.buffer !== bytes.buffer || viewedStart !== start || viewed.length !== end - start
  ) {
    viewed = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    viewedStart = start;
  }
  return viewed;
}
