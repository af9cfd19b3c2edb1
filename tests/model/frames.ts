import type { AdoptOptions, FrameHeader } from "../../mod.ts";
import { join } from "../support/bytes.ts";
import { BINARY, CONTINUATION, TEXT } from "../support/frames.ts";
import { keyOf } from "../support/messages.ts";
import type { Reactions } from "./callbacks.ts";

/** A data frame that the peer has sent. */
export interface SentFrame {
  readonly opcode: number;
  readonly fin: boolean;
  readonly rsv: number;
  readonly payload: Uint8Array;
}

/** What the check of frames needs of a run. */
export interface Watched {
  readonly conn: { readonly isPaused: boolean };
  /** Whether our side has ended the connection. After that no frame is shown. */
  readonly over: boolean;
  readonly peer: { readonly frames: readonly SentFrame[] };
  readonly reactions: Reactions;
  /** Called with a complete message. */
  taken(data: string | Uint8Array, late: boolean): void;
  finding(what: string): void;
  note(what: string): void;
}

/** Checks the frame callbacks: each data frame is shown once, completely and in order, and never while frames are held. */
export class FrameWatch {
  /** The number of frames whose end was shown. */
  shown = 0;
  readonly #run: Watched;
  readonly #assembles: boolean;
  #begun = false;
  #length = 0; // the bytes of its payload that were shown
  #handling: string | null = null;
  readonly #message: { opcode: number; parts: Uint8Array[] } = { opcode: 0, parts: [] };

  /** @param assembles Whether messages are delivered as well. If not, this class assembles them. */
  constructor(run: Watched, assembles: boolean) {
    this.#run = run;
    this.#assembles = assembles;
  }

  handlers(called: (name: string, detail?: string) => void): AdoptOptions {
    return {
      onFrameStart: (_, header) => {
        called("onFrameStart", `${header.opcode}, ${header.length} bytes`);
        return this.#react("onFrameStart", () => this.#start(header));
      },
      onFrameChunk: (_, bytes) => {
        called("onFrameChunk", `${bytes.length} bytes`);
        const key = keyOf(bytes);
        return this.#react("onFrameChunk", () => this.#chunk(bytes), () => {
          // The view is valid until now.
          if (keyOf(bytes) !== key && !this.#run.over) this.#run.finding("a chunk has changed");
        });
      },
      onFrameEnd: () => {
        called("onFrameEnd");
        return this.#react("onFrameEnd", () => this.#end());
      },
    };
  }

  #react(name: string, look: () => void, over: () => void = () => {}): unknown {
    const run = this.#run;
    if (run.over) run.finding(`${name} after our own end`);
    if (run.conn.isPaused) run.finding(`${name} while paused`);
    if (this.#handling !== null) run.finding(`${name} while ${this.#handling} is unsettled`);
    look();
    this.#handling = name;
    return run.reactions.react(name, () => {
      this.#handling = null;
      over();
    });
  }

  #start({ opcode, fin, rsv1, rsv2, rsv3, length }: FrameHeader): void {
    const { peer, finding } = this.#expected("begins");
    if (this.#begun) finding("begins before the one before has ended");
    this.#begun = true;
    this.#length = 0;
    if (peer === undefined) return finding("was never sent");
    const rsv = (rsv1 ? 4 : 0) | (rsv2 ? 2 : 0) | (rsv3 ? 1 : 0);
    const right = opcode === peer.opcode && fin === peer.fin && rsv === peer.rsv &&
      length === peer.payload.length;
    if (!right) finding(`has opcode ${opcode}, fin ${fin}, rsv ${rsv}, ${length} bytes`);
  }

  #chunk(bytes: Uint8Array): void {
    const { peer, finding } = this.#expected("goes on");
    if (!this.#begun) finding("has not begun");
    if (bytes.length === 0) finding("comes as nothing");
    const sent = peer?.payload.subarray(this.#length, this.#length + bytes.length);
    if (sent === undefined || keyOf(sent) !== keyOf(bytes)) finding("has another payload");
    this.#length += bytes.length;
    if (!this.#assembles) this.#message.parts.push(bytes.slice());
  }

  #end(): void {
    const { peer, finding } = this.#expected("ends");
    if (!this.#begun) finding("has not begun");
    this.#begun = false;
    this.shown++;
    if (peer === undefined) return;
    if (this.#length !== peer.payload.length) finding(`ends after ${this.#length} bytes`);
    if (this.#assembles) return;
    const message = this.#message;
    if (peer.opcode !== CONTINUATION) message.opcode = peer.opcode;
    if (!peer.fin) return;
    const bytes = join(message.parts.splice(0));
    const text = () => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    if (message.opcode === TEXT || message.opcode === BINARY) {
      this.#run.taken(message.opcode === TEXT ? text() : bytes, this.#run.over);
    }
  }

  #expected(what: string) {
    const run = this.#run, number = this.shown;
    run.note(`frame ${number} ${what}`);
    return {
      peer: run.peer.frames[number] as SentFrame | undefined,
      finding: (what: string) => run.finding(`frame ${number} ${what}`),
    };
  }
}
