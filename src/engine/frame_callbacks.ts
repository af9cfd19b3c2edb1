import type { Face, Handlers } from "./handlers.ts";
import { IN_FRAME } from "./holds.ts";
import type { Trace } from "./trace.ts";
import type { Loan } from "../flow/read_pump.ts";
import type { FrameDecoder } from "../protocol/frame_decoder.ts";
import type { Source } from "../protocol/source.ts";
import type { FrameObserver } from "../protocol/frame_tap.ts";
import type { FrameHeader } from "../protocol/message_header.ts";
import { FIN, RSV1, RSV2, RSV3 } from "../protocol/opcode.ts";

/** What frame callbacks need from their connection. */
export interface FrameCallbacksHost {
  readonly face: Face;
  readonly handlers: Handlers;
  readonly settings: { readonly assemble: boolean };
  readonly trace: Trace | null;
  call(callback: () => unknown): Promise<void> | null;
}

/** What frame callbacks need from the receiver: holds, and the read buffer while a promise is unsettled. */
export interface FrameHolder {
  /** Whether no frame may be shown now. */
  readonly framesHeld: boolean;
  /** Counts a message that has been received to its end. */
  count(): void;
  hold(reason: number): void;
  lift(reason: number): void;
  retain(): Loan;
  release(loan: Loan): void;
}

/**
 * Calls the frame callbacks. A promise of one of them holds reading, as a pause does: a payload may be too large to keep for
 * later. Only the end of a frame can be kept. Frames are shown to a trace as well.
 */
export class FrameCallbacks implements FrameObserver {
  /** Whether the application sees frames, and not only a trace. */
  shown = false;
  /** Whether the application sees no more frames, since the connection closes. */
  muted = false;
  readonly #host: FrameCallbacksHost;
  readonly #receiver: FrameHolder;
  readonly #frames: FrameDecoder;
  #ending = false; // the end of a frame has not been shown yet

  constructor(host: FrameCallbacksHost, receiver: FrameHolder, frames: FrameDecoder) {
    this.#host = host;
    this.#receiver = receiver;
    this.#frames = frames;
  }

  start(): void {
    const host = this.#host;
    const { fin, rsv, opcode, length } = this.#frames;
    host.trace?.frame("<-", (fin ? FIN : 0) | rsv | opcode, length);
    const { onFrameStart } = host.handlers;
    if (this.muted || onFrameStart === undefined) return;
    const header: FrameHeader = {
      fin,
      rsv1: (rsv & RSV1) !== 0,
      rsv2: (rsv & RSV2) !== 0,
      rsv3: (rsv & RSV3) !== 0,
      opcode,
      length,
    };
    this.#wait(host.call(() => host.handlers.onFrameStart!(host.face, header)), false);
  }

  data({ bytes }: Source, start: number, end: number, last: boolean): void {
    const host = this.#host;
    if (last && this.#frames.fin && !host.settings.assemble) this.#receiver.count();
    if (this.muted) return;
    if (end > start && host.handlers.onFrameChunk !== undefined) {
      const chunk = bytes.subarray(start, end);
      this.#wait(host.call(() => host.handlers.onFrameChunk!(host.face, chunk)), true);
    }
    if (!last) return;
    this.#ending = true;
    this.goOn();
  }

  /** Whether the end of a frame waits to be shown. */
  get unfinished(): boolean {
    return this.#ending && !this.muted;
  }

  /** Shows the end of a frame, unless frames are held. */
  goOn(): void {
    if (!this.#ending || this.#receiver.framesHeld) return;
    this.#ending = false;
    const host = this.#host;
    if (this.muted || host.handlers.onFrameEnd === undefined) return;
    this.#wait(host.call(() => host.handlers.onFrameEnd!(host.face)), false);
  }

  /** @param inUse Whether the callback has a view of the read buffer. */
  #wait(settled: Promise<void> | null, inUse: boolean): void {
    if (settled === null) return;
    const receiver = this.#receiver, loan = inUse ? receiver.retain() : null;
    receiver.hold(IN_FRAME);
    settled.then(() => {
      if (loan !== null) receiver.release(loan);
      receiver.lift(IN_FRAME);
    });
  }
}
