import { type CloseRecord, closeRecord, type LiveCloseRecord } from "../protocol/close_record.ts";
import { ABNORMAL } from "../protocol/close_code.ts";
import type { ClosingHandshake } from "../protocol/closing_handshake.ts";

/** The contents of a queue. */
interface Amount {
  readonly bytes: number;
  readonly messages: number;
}

/** Collects the contents of the close record, and resolves the promises that wait for it. */
export class CloseOutcome {
  /** The record, once the connection has ended. */
  record: LiveCloseRecord | null = null;
  /** The first error that ended the connection, if one did. */
  cause: unknown;
  #unsentMessages = 0;
  #unsentBytes = 0;
  #frameLost = false; // our close frame was encoded, but the kernel never took it
  #waiters: ((record: CloseRecord) => void)[] | null = null;

  /** Counts queued messages that will not be sent: those of `before` that aren't in `left` any more. */
  unsent(before: Amount, left: Amount | null = null): void {
    this.#unsentMessages += before.messages - (left?.messages ?? 0);
    this.#unsentBytes += before.bytes - (left?.bytes ?? 0);
  }

  /** Notes that our close frame, if there is one, was not written. */
  closeFrameLost(): void {
    this.#frameLost = true;
  }

  /** Whether both close frames have been exchanged. */
  isOrderly(closing: ClosingHandshake): boolean {
    return closing.complete && !this.#frameLost;
  }

  /** Makes the record. */
  build(closing: ClosingHandshake | null, undelivered: number): CloseRecord {
    const sent = this.#frameLost ? null : closing?.sent ?? null;
    const received = closing?.received ?? null;
    return this.record = closeRecord({
      code: received?.code ?? ABNORMAL,
      reason: received?.reason ?? "",
      wasClean: sent !== null && received !== null,
      sent,
      received,
      initiator: sent === null && received === null ? null : closing!.initiator,
      cause: this.cause,
      unsentMessages: this.#unsentMessages,
      unsentBytes: this.#unsentBytes,
      undelivered,
    });
  }

  /** Resolves with the record when the connection has ended. */
  wait(): Promise<CloseRecord> {
    if (this.record !== null) return Promise.resolve(this.record);
    return new Promise((resolve) => (this.#waiters ??= []).push(resolve));
  }

  /** Resolves the promises of `wait`. */
  resolve(): void {
    for (const resolve of this.#waiters?.splice(0) ?? []) resolve(this.record!);
  }
}
