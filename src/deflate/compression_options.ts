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
   * Messages of fewer bytes than this are sent uncompressed; `send(data, { compress })` overrides it for one message.
   * Compression gains little with a short message that is unlike earlier ones.
   *
   * @default {1024}
   */
  threshold?: number;
  /**
   * Whether a message may refer back to earlier ones, in both directions. It makes the short messages of a feed several
   * times smaller. But each connection that has sent or received a compressed message then keeps memory until it closes:
   * about 310 KiB to compress with the defaults, and 75 KiB to inflate. With `false` a connection keeps neither between
   * messages.
   *
   * @default {true}
   */
  contextTakeover?: boolean;
  /**
   * Base-two logarithm of the largest window that is offered or accepted, for both directions: 9 to 15. (zlib can't
   * compress into a window of 8 bits.) A peer may keep its own window at 15 bits, and context takeover, for its own
   * direction, unless it agrees otherwise: inflating then costs 75 KiB. `conn.extensions` says what was agreed.
   *
   * @default {15}
   */
  windowBits?: number;
  /**
   * zlib's memory level, 1 to 9: more memory compresses better. With 1 and a window of 9 bits, compressing takes 140 KiB
   * instead of 310, and inflating 7 KiB instead of 75.
   *
   * @default {8}
   */
  memLevel?: number;
  /**
   * zlib's compression level, 0 to 9. With JSON, 4 comes within 4 % of the size that 6 (zlib's own default) reaches, in
   * half to two thirds of the time.
   *
   * @default {4}
   */
  level?: number;
}

/** {@linkcode CompressionOptions} with all defaults filled in. */
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
 * @param option The option as given.
 * @param action The attempted action, for error messages.
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
