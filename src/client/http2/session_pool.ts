import type { ConnectSettings } from "../connect_options.ts";
import type { ClientSession } from "./client_session.ts";

/** How an attempt to get a session ended. */
type Outcome = "session" | "unsupported" | "failed";

/** The sessions to one server with the same settings. */
interface Shared {
  readonly sessions: Set<ClientSession>;
  /** The attempt to get another session; further callers wait for it. */
  dialing: Promise<Outcome> | null;
}

/** The HTTP/2 connections that the clients of a context share. */
export class SessionPool {
  readonly #shared = new Map<string, Shared>();
  readonly #sockets = new Map<object, number>();

  /**
   * Finds a session that has room for another stream, or dials a new one. Callers that arrive while it is being dialled
   * wait for it.
   *
   * @param dial Dials a session; returns `null` if the server doesn't accept WebSockets over HTTP/2.
   * @param use Opens a stream of a session; throws if the caller has been cancelled in the meantime.
   * @returns The result of `use`; `null` if the server doesn't accept WebSockets.
   */
  async take<Stream>(
    settings: ConnectSettings,
    dial: () => Promise<ClientSession | null>,
    use: (session: ClientSession) => Stream,
  ): Promise<Stream | null> {
    const key = this.#keyOf(settings);
    for (;;) {
      const shared = this.#shared.get(key) ?? { sessions: new Set(), dialing: null };
      this.#shared.set(key, shared);
      for (const session of shared.sessions) if (session.hasRoom) return use(session);
      if (shared.dialing === null) {
        const session = await this.#dial(key, shared, dial);
        if (session === null) return null;
        if (!session.hasRoom) {
          // The callers that have waited for the session may have used all of its streams.
          if (session.link.streams > 0) continue;
          session.close();
          throw new Deno.errors.ConnectionRefused("The HTTP/2 server accepts no streams");
        }
        try {
          return use(session);
        } catch (error) {
          // The callers that have waited for the session get their turn first.
          setTimeout(() => session.closeUnused(), 0);
          throw error;
        }
      }
      const outcome = await shared.dialing;
      // A failed or cancelled attempt says nothing about the next one.
      if (outcome === "unsupported") return null;
    }
  }

  async #dial(
    key: string,
    shared: Shared,
    dial: () => Promise<ClientSession | null>,
  ): Promise<ClientSession | null> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    shared.dialing = promise;
    let outcome: Outcome = "failed";
    try {
      const session = await dial();
      outcome = session === null ? "unsupported" : "session";
      if (session !== null) {
        shared.sessions.add(session);
        session.link.ended.then(() => {
          shared.sessions.delete(session);
          this.#forget(key, shared);
        });
      }
      return session;
    } finally {
      shared.dialing = null;
      this.#forget(key, shared);
      resolve(outcome);
    }
  }

  #forget(key: string, shared: Shared): void {
    if (shared.sessions.size === 0 && shared.dialing === null) this.#shared.delete(key);
  }

  /** The settings that must be equal for two clients to share a session. */
  #keyOf({ target, tls, proxy, address, sockets }: ConnectSettings): string {
    const made = this.#sockets.get(sockets) ?? this.#sockets.size;
    this.#sockets.set(sockets, made);
    const { caCerts, cert, key, serverName, insecure } = tls;
    const where = typeof address === "string" ? address : [address.hostname, address.port];
    return JSON.stringify([
      target.hostname,
      target.port,
      [caCerts, cert, key, serverName, insecure],
      proxy === undefined ? "environment" : proxy,
      where,
      made,
    ]);
  }
}
