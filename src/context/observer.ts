import type { CloseRecord } from "../protocol/close_record.ts";
import type { Connection } from "../connection.ts";
import { callForeign } from "../util/foreign.ts";

/** A handshake with a listener that has failed. */
export interface RefusedHandshake {
  readonly error: unknown;
  /** The addresses of the connection. */
  readonly info: { readonly remoteAddr: Deno.Addr; readonly localAddr: Deno.Addr };
  /** The fields of the request; `null` if its head wasn't complete. */
  readonly fields: { get(name: string): string | null } | null;
}

/**
 * Observes all handshakes and connections of a context, in addition to the application's callbacks. Times are by
 * `performance.now()`.
 */
export interface Observer {
  /** A client is about to connect; returns headers for its request. */
  connecting(conn: Connection): Record<string, string>;
  /** A handshake that began at `began` is complete. */
  opened(conn: Connection, began: number): void;
  /** A connection has ended. It may never have opened. */
  closed(conn: Connection, close: CloseRecord): void;
  /** A handshake with a listener that began at `began` was refused or lost. */
  refused(handshake: RefusedHandshake, began: number): void;
}

/** The observers of a context. Their errors go to the console and have no other effect. */
export class Observers {
  #list: readonly Observer[] = [];

  /** Whether there are any. */
  get any(): boolean {
    return this.#list.length > 0;
  }

  /** Adds an observer; returns a function that removes it. */
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
