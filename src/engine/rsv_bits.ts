import { RSV1, RSV2, RSV3 } from "../protocol/opcode.ts";

/** Reserved bits of a frame, for an extension of the application's own (RFC 6455 9). */
export interface RsvBits {
  /** The first one, which `permessage-deflate` uses. @default {false} */
  rsv1?: boolean;
  /** The second one. @default {false} */
  rsv2?: boolean;
  /** The third one. @default {false} */
  rsv3?: boolean;
}

/** The bits as they are in the first byte of a frame. */
export function rsvOf(bits: RsvBits): number {
  return (bits.rsv1 ? RSV1 : 0) | (bits.rsv2 ? RSV2 : 0) | (bits.rsv3 ? RSV3 : 0);
}

/** The reserved bits of a frame that is to be sent; throws if one isn't among the allowed ones. */
export function checkRsv(action: string, bits: RsvBits, allowed: number): number {
  const rsv = rsvOf(bits), refused = rsv & ~allowed;
  if (refused !== 0) {
    const name = refused & RSV1 ? "rsv1" : refused & RSV2 ? "rsv2" : "rsv3";
    throw new TypeError(`Cannot ${action} with ${name} set: the connection's allowRsv lacks it`);
  }
  return rsv;
}
