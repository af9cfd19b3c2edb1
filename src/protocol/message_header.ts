/**
 * The header of a message's first frame, as `onMessage` gets it if `allowRsv` was given.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode OutgoingFrame}
 */
export interface MessageHeader {
  /** 1 for text, 2 for binary. */
  readonly opcode: number;
  /** The first reserved bit. */
  readonly rsv1: boolean;
  /** The second reserved bit. */
  readonly rsv2: boolean;
  /** The third reserved bit. */
  readonly rsv3: boolean;
}

/**
 * The header of a data frame, as `onFrameStart` gets it.
 *
 * @experimental It may change in a minor release.
 *
 * @see {@linkcode FragmentOptions}
 */
export interface FrameHeader extends MessageHeader {
  /** Whether the frame ends its message. */
  readonly fin: boolean;
  /** 1 for text, 2 for binary, 0 for the continuation of a message. */
  readonly opcode: number;
  /** Bytes of payload that follow. */
  readonly length: number;
}
