import type { CloseRecord } from "../protocol/close_record.ts";
import type { Connection } from "../connection.ts";
import { callForeign } from "../util/foreign.ts";

/** A handshake that never became a connection of a listener's. */
export interface RefusedHandshake {
  readonly error: unknown;
  /** Where it came from. */
  readonly info: { readonly remoteAddr: Deno.Addr; readonly localAddr: Deno.Addr };
  /** The request's fields; `null` if its head didn't come. */
  readonly fields: { get(name: string): string | null } | null;
}

/**
 * What watches over all handshakes and connections of a context, beside the application's callbacks. Times are those of
 * `performance.now()`.
 */
export interface Observer {
  /** A client is about to ask for a connection; returns fields for its request, as names and values. */
  connecting(conn: Connection): Record<string, string>;
  /** A handshake is complete that began at `began`. */
  opened(conn: Connection, began: number): void;
  /** A connection has ended; clients that never connected, too. */
  closed(conn: Connection, close: CloseRecord): void;
  /** A listener has refused a handshake that began at `began`, or lost it. */
  refused(handshake: RefusedHandshake, began: number): void;
}

/** The observers of a context. What they throw goes to the console, and affects nothing else. */
export class Observers {
  #list: readonly Observer[] = [];

  /** Whether there are any. */
  get any(): boolean {
    return this.#list.length > 0;
  }

  /** Adds one; returns what takes it out again. */
  add(observer: Observer): () => void {
    this.#list = [...this.#list, observer];
    return () => {
      this.#list = this.#list.filter((other) => other !== observer);
    };
  }

  /** Notifies each of them. */
  notify(event: (observer: Observer) => void): void {
    for (const observer of this.#list) callForeign(() => event(observer), report);
  }
}

function report(error: unknown): void {
  console.error("An observer of connections failed:", error);
}
