import { RSV1, RSV2, RSV3 } from "../protocol/opcode.ts";
import { flag } from "../util/check.ts";

/**
 * Reserved bits of a frame, for an extension that the application implements (RFC 6455 9).
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode OutgoingFrame}
 */
export interface RsvBits {
  /**
   * The first one, which `permessage-deflate` uses.
   *
   * @default {false}
   */
  rsv1?: boolean;
  /**
   * The second one.
   *
   * @default {false}
   */
  rsv2?: boolean;
  /**
   * The third one.
   *
   * @default {false}
   */
  rsv3?: boolean;
}

/** Returns the bits as in the first byte of a frame. `prefix` comes before their names in error messages. */
export function readRsv(action: string, bits: RsvBits, prefix: string = ""): number {
  const { rsv1, rsv2, rsv3 } = bits;
  return (flag(action, `${prefix}rsv1`, rsv1, false) ? RSV1 : 0) |
    (flag(action, `${prefix}rsv2`, rsv2, false) ? RSV2 : 0) |
    (flag(action, `${prefix}rsv3`, rsv3, false) ? RSV3 : 0);
}

/** Returns the reserved bits of a frame to be sent; throws if one of them isn't allowed. */
export function checkRsv(action: string, bits: RsvBits, allowed: number): number {
  const rsv = readRsv(action, bits), refused = rsv & ~allowed;
  if (refused !== 0) {
    const name = refused & RSV1 ? "rsv1" : refused & RSV2 ? "rsv2" : "rsv3";
    throw new TypeError(`Cannot ${action} with ${name} set: the connection's allowRsv lacks it`);
  }
  return rsv;
}
