import type { FrameHeader } from "../protocol/message_header.ts";
import { IN_FRAME } from "./delivery.ts";
import type { Engine } from "./engine.ts";
import type { FrameDecoder, Source } from "../protocol/frame_decoder.ts";
import type { FrameObserver } from "../protocol/frame_tap.ts";
import { FIN, RSV1, RSV2, RSV3 } from "../protocol/opcode.ts";

/**
 * Calls the frame callbacks, and stops the decoder where one of them asks for time or pauses: payload can't be kept
 * for later here, since it needn't fit anywhere. Frames are shown to a trace as well.
 */
export class FrameCallbacks implements FrameObserver {
  /** Set when frames are none of the application's business any more. */
  muted = false;
  readonly #engine: Engine;
  readonly #frames: FrameDecoder;
  #waiting = false; // for the promise of a callback
  #ending = false; // the end of the frame waits for it too

  constructor(engine: Engine, frames: FrameDecoder) {
    this.#engine = engine;
    this.#frames = frames;
  }

  start(): void {
    const engine = this.#engine;
    const { fin, rsv, opcode, length } = this.#frames;
    engine.trace?.frame("<-", (fin ? FIN : 0) | rsv | opcode, length);
    const { onFrameStart } = engine.handlers;
    if (this.muted || onFrameStart === undefined) return;
    const header: FrameHeader = {
      fin,
      rsv1: (rsv & RSV1) !== 0,
      rsv2: (rsv & RSV2) !== 0,
      rsv3: (rsv & RSV3) !== 0,
      opcode,
      length,
    };
    this.#wait(engine.call(() => engine.handlers.onFrameStart!(engine.face, header)), false);
  }

  data({ bytes }: Source, start: number, end: number, last: boolean): void {
    const engine = this.#engine;
    if (last && this.#frames.fin && !engine.settings.assemble) engine.delivery.received++;
    if (this.muted) return;
    if (end > start && engine.handlers.onFrameChunk !== undefined) {
      const chunk = bytes.subarray(start, end);
      this.#wait(engine.call(() => engine.handlers.onFrameChunk!(engine.face, chunk)), true);
    }
    if (!last) return;
    if (this.#waiting) this.#ending = true;
    else this.#end();
  }

  #end(): void {
    const engine = this.#engine;
    if (this.muted || engine.handlers.onFrameEnd === undefined) return;
    this.#wait(engine.call(() => engine.handlers.onFrameEnd!(engine.face)), false);
  }

  /** @param lent Whether the callback still looks at the buffer that is being handled. */
  #wait(settled: Promise<void> | null, lent: boolean): void {
    const engine = this.#engine;
    if (settled !== null) {
      const source = lent ? engine.reader!.retain() : null;
      this.#waiting = true;
      engine.delivery.holdReasons |= IN_FRAME;
      settled.then(() => {
        if (source !== null) engine.reader!.release(source);
        this.#waiting = false;
        if (this.#ending) {
          this.#ending = false;
          this.#end();
        }
        if (!this.#waiting) engine.delivery.hold(IN_FRAME, false);
      });
    }
    if ((engine.delivery.holdReasons & engine.delivery.frameHoldReasons) !== 0) {
      this.#frames.stopRequested = true;
    }
  }
}
