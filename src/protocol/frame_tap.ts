import { INVALID_PAYLOAD } from "./close_code.ts";
import type { FrameSink } from "./frame_decoder.ts";
import type { MessageAssembler } from "./message_assembler.ts";
import { CLOSE, TEXT } from "./opcode.ts";
import { violation } from "./protocol_error.ts";
import type { Source } from "./source.ts";
import { Utf8Validator } from "./utf8.ts";

/** Gets data frames as they arrive, together with messages or instead of them. */
export interface FrameObserver {
  /** A frame with a valid header begins; the decoder has its fields. */
  start(): void;
  /** Payload of a data frame, unmasked; `last` ends the frame. */
  data(source: Source, start: number, end: number, last: boolean): void;
}

/**
 * Comes between a decoder and its assembler if frames are observed; other connections work without it, at no cost. With
 * `assemble: false` it replaces the assembler, and checks what the assembler would check.
 */
export class FrameTap implements FrameSink {
  readonly #assembler: MessageAssembler;
  readonly #observer: FrameObserver;
  readonly #assemble: boolean;
  readonly #utf8 = new Utf8Validator();

  constructor(assembler: MessageAssembler, observer: FrameObserver, assemble: boolean) {
    this.#assembler = assembler;
    this.#observer = observer;
    this.#assemble = assemble;
  }

  frameStart(): void {
    // The assembler checks order and size of every frame.
    this.#assembler.frameStart();
    if (this.#assembler.frames.opcode < CLOSE) this.#observer.start();
  }

  frameData(source: Source, start: number, end: number, last: boolean): void {
    const assembler = this.#assembler, { frames } = assembler;
    if (this.#assemble || frames.opcode >= CLOSE) {
      if (frames.opcode < CLOSE) this.#observer.data(source, start, end, last);
      assembler.frameData(source, start, end, last);
      return;
    }
    const ends = last && frames.fin;
    if (assembler.opcode === TEXT && assembler.rsv === 0) {
      const valid = this.#utf8.push(source.view, start, end) && (!ends || this.#utf8.complete);
      if (!valid) {
        throw violation(
          INVALID_PAYLOAD,
          "invalid-utf8",
          "Received a text message that is not UTF-8",
        );
      }
    }
    // Before the observer, which may close the connection and discard everything.
    if (ends) assembler.discard();
    this.#observer.data(source, start, end, last);
  }
}
