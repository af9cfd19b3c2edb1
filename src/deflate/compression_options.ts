import { amount, flag, group, integer } from "../util/check.ts";

/**
 * How messages are compressed with permessage-deflate (RFC 7692), if the peer agrees to it.
 *
 * @example A feed of short messages that resemble one another
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({ compression: { threshold: 0 } });
 * const listener = ctx.listen({ hostname: "127.0.0.1" });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * console.log(conn.extensions);
 * ```
 */
export interface CompressionOptions {
  /**
   * Messages of fewer bytes than this go uncompressed; `send(data, { compress })` overrides it for
   * one message. Deflate gains little on a short message that resembles nothing sent before.
   *
   * @default {1024}
   */
  threshold?: number;
  /**
   * Whether a message may refer back to earlier ones, in both directions. It makes short messages of
   * a feed several times smaller, and costs each connection that has sent or received a compressed
   * message memory of its own until it closes: about 310 KiB to compress at the defaults, and 75 KiB to
   * inflate. With `false` a connection holds neither between messages.
   *
   * @default {true}
   */
  contextTakeover?: boolean;
  /**
   * Base-two logarithm of the window that is offered or accepted at most, for both directions: 9 to
   * 15. zlib cannot compress into a window of 8 bits. A peer that doesn't promise a smaller window than
   * 15, or to do without `contextTakeover`, keeps them for its own direction: inflating then costs 75
   * KiB. `conn.extensions` says what was agreed.
   *
   * @default {15}
   */
  windowBits?: number;
  /**
   * zlib's own trade of memory for compression, 1 to 9. At 1, and with a window of 9 bits, compressing
   * takes 140 KiB instead of 310, and inflating 7 instead of 75.
   *
   * @default {8}
   */
  memLevel?: number;
  /**
   * zlib's compression level, 0 to 9. On JSON, 4 comes within 4 % of the size that 6 (zlib's own
   * default) reaches, in half to two thirds of its time.
   *
   * @default {4}
   */
  level?: number;
}

/** {@linkcode CompressionOptions} with nothing left out. */
export type CompressionSettings = Required<CompressionOptions>;

const DEFAULTS: CompressionSettings = Object.freeze({
  threshold: 1024,
  contextTakeover: true,
  windowBits: 15,
  memLevel: 8,
  level: 4,
});

/**
 * Reads the `compression` option.
 *
 * @param option What the application passed.
 * @param action What is attempted, for messages.
 * @returns The settings with every default filled in, or null for no compression.
 * @throws {TypeError} If the option, or a part of it, is of the wrong type.
 * @throws {RangeError} If a number is out of its range.
 */
export function readCompression(
  option: boolean | CompressionOptions | undefined,
  action: string = "compress",
): CompressionSettings | null {
  if (option === undefined || option === false) return null;
  if (option === true) return DEFAULTS;
  group(action, "compression", option, "true, false or { threshold, level, … }");
  const whole = (name: "windowBits" | "memLevel" | "level", least: number, most: number) =>
    integer(action, `compression.${name}`, option[name], DEFAULTS[name], least, most);
  const { threshold, contextTakeover } = option;
  return {
    threshold: amount(action, "compression.threshold", threshold, DEFAULTS.threshold),
    contextTakeover: flag(action, "compression.contextTakeover", contextTakeover, true),
    windowBits: whole("windowBits", 9, 15),
    memLevel: whole("memLevel", 1, 9),
    level: whole("level", 0, 9),
  };
}
