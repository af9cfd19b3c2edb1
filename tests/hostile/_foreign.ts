import { assert, assertEquals } from "@std/assert";
import { type Connection, Context, type ContextOptions, type ListenOptions } from "../../mod.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { bounded, turn, until } from "../support/until.ts";
import { macrotask } from "../support/virtual_clock.ts";

/** The error that misbehaving code throws. */
export class Misdeed extends Error {
  override readonly name = "Misdeed";
}

/** A way in which foreign code may misbehave. */
export interface Way {
  readonly name: string;
  /** Whether its error has to be reported. */
  readonly tells: boolean;
  /** Whether the code calls back into the library. */
  readonly calls?: true;
  /** Whether it ends at once, so that it is possible in code that only returns. */
  readonly synchronous?: true;
  act(stage: Stage, error: Misdeed): unknown;
}

/** Calls a function for every open connection. */
function each(stage: Stage, act: (conn: Connection) => unknown): void {
  for (const conn of stage.connections()) act(conn);
}

export const WAYS: Way[] = [
  {
    name: "throws",
    tells: true,
    synchronous: true,
    act: (_, error) => {
      throw error;
    },
  },
  { name: "rejects", tells: true, act: (_, error) => Promise.reject(error) },
  {
    name: "returns a thenable that rejects",
    tells: true,
    act: (_, error) => ({ then: (_: unknown, reject: (error: unknown) => void) => reject(error) }),
  },
  {
    name: "returns a then that throws when it is read",
    tells: true,
    act: (_, error) => ({
      get then() {
        throw error;
      },
    }),
  },
  {
    name: "returns a thenable that settles both ways and throws",
    tells: true,
    act: (_, error) => ({
      then(resolve: () => void, reject: (error: unknown) => void) {
        reject(error);
        resolve();
        throw error;
      },
    }),
  },
  { name: "never settles", tells: false, act: () => new Promise(() => {}) },
  {
    name: "closes",
    tells: false,
    calls: true,
    synchronous: true,
    act: (stage) => each(stage, (conn) => conn.close()),
  },
  {
    name: "terminates",
    tells: false,
    calls: true,
    synchronous: true,
    act: (stage) => each(stage, (conn) => conn.terminate()),
  },
  {
    name: "sends",
    tells: false,
    calls: true,
    synchronous: true,
    act: (stage) => each(stage, (conn) => conn.state === "open" && conn.send("from inside")),
  },
  {
    name: "pauses and resumes",
    tells: false,
    calls: true,
    synchronous: true,
    act: (stage) =>
      each(stage, (conn) => {
        conn.pause();
        queueMicrotask(() => conn.resume());
      }),
  },
  {
    name: "shuts the context down",
    tells: false,
    calls: true,
    synchronous: true,
    act: (stage) => void stage.ctx.shutdown({ timeout: 100 }),
  },
];

/** A context in which one piece of foreign code misbehaves, and the effects. */
export class Stage {
  readonly error: Misdeed = new Misdeed("foreign code has failed");
  /** The errors that were reported. */
  readonly told: unknown[] = [];
  /** The number of calls of `onClose`, by connection. */
  readonly closes: Map<Connection, number> = new Map();
  ctx!: Context;
  /** The number of calls of the foreign code. */
  calls = 0;
  /** Whether errors of the code are uncaught, as a standard requires. */
  uncaught = false;
  readonly #unhandled: unknown[] = [];
  readonly #conns: Set<Connection> = new Set();
  readonly way: Way;
  readonly #ends: (() => unknown)[] = [];

  constructor(way: Way) {
    this.way = way;
  }

  /** The foreign code. It misbehaves only at its first call, unless `always` is set. */
  code(always = false): () => undefined {
    return () => {
      this.calls++;
      if (this.calls > 1 && !always) return;
      return this.way.act(this, this.error) as undefined;
    };
  }

  /** Makes the context, with handlers that record their calls. */
  context(options: ContextOptions = {}): Context {
    return this.ctx = new Context({ closeTimeout: 50, ...this.notes(), ...options });
  }

  notes(): Pick<ContextOptions, "onError" | "onClose"> {
    return {
      onError: (_, error) => void this.told.push(error),
      onClose: (conn) => void this.closes.set(conn, (this.closes.get(conn) ?? 0) + 1),
    };
  }

  /** Starts a listener that echoes messages. */
  listen(options: ListenOptions = {}): number {
    return this.ctx.listen({
      hostname: "127.0.0.1",
      handshakeTimeout: 300,
      onMessage: (conn, data) => void (conn.state === "open" && conn.send(data)),
      onHandshakeError: (error) => void this.told.push(error),
      ...options,
    }).port;
  }

  /** Records the end of a connection. */
  follow(conn: Connection): Connection {
    this.#conns.add(conn);
    return conn;
  }

  connections(): Connection[] {
    for (const conn of this.ctx.connections) this.#conns.add(conn);
    return [...this.#conns];
  }

  /** Runs a function at the end of the test. */
  finally(act: () => unknown): void {
    this.#ends.push(act);
  }

  /** Runs a scene, and checks its effects. */
  async play(scene: () => Promise<number | void>, told: boolean): Promise<void> {
    const { error: original } = console;
    const unhandled = (event: PromiseRejectionEvent | ErrorEvent) => {
      event.preventDefault();
      const error = event.type === "error"
        ? (event as ErrorEvent).error
        : (event as PromiseRejectionEvent).reason;
      if (this.uncaught && error === this.error) this.told.push(error);
      else this.#unhandled.push(error);
    };
    globalThis.addEventListener("unhandledrejection", unhandled);
    globalThis.addEventListener("error", unhandled);
    console.error = (...args: unknown[]) => this.told.push(...args);
    try {
      const port = await bounded("the scene", scene());
      assert(this.calls > 0, "the foreign code was never called");
      await this.#judge(typeof port === "number" ? port : null);
    } finally {
      for (const end of this.#ends) await end();
      await bounded("shutdown", this.ctx.shutdown({ timeout: 20 }));
      await macrotask();
      globalThis.removeEventListener("unhandledrejection", unhandled);
      globalThis.removeEventListener("error", unhandled);
      console.error = original;
    }
    assertEquals(this.#unhandled.map(String), [], "nobody caught");
    for (const conn of this.connections()) {
      assertEquals(conn.state, "closed");
      assertEquals(conn.queuedBytes, 0);
    }
    for (const [conn, times] of this.closes) assertEquals(times, 1, `onClose of ${conn.url}`);
    if (told) {
      const times = this.told.filter((told) => this.#isMisdeed(told)).length;
      assert(
        times > 0,
        `not reported; reported was ${this.told.map(String).join("; ") || "nothing"}`,
      );
    }
  }

  /** Whether an error is that of the foreign code, or has it as its cause. */
  #isMisdeed(told: unknown): boolean {
    for (let error = told; error instanceof Error; error = error.cause) {
      if (error === this.error) return true;
    }
    return false;
  }

  async #judge(port: number | null): Promise<void> {
    // The context and its listener continue to serve others, unless they were shut down.
    if (port !== null && this.way.name !== "shuts the context down") {
      using peer = await RawPeer.connect(port, {
        "Origin": "https://other.example",
        "Sec-WebSocket-Protocol": "a",
      });
      await peer.send(1, "honest");
      const echo = await bounded("an honest client's echo", peer.next(1));
      assertEquals(new TextDecoder().decode(echo.payload), "honest");
    }
    for (const conn of this.connections()) {
      conn.terminate();
      await bounded("closed", conn.closed);
    }
  }
}

/** Foreign code as the value of an option; it may return anything. */
// deno-lint-ignore no-explicit-any
export type Code = (...args: any[]) => any;

/** A place at which foreign code is called. */
export interface Boundary {
  readonly name: string;
  /** Ways that are impossible at this place. */
  readonly except?: (way: Way) => boolean;
  /** Whether the error has to be reported. Default: if there is one. */
  readonly told?: (way: Way) => boolean;
  /** Installs the code and has it called; returns the port of a listener that has to continue. */
  play(stage: Stage, code: Code): Promise<number | void>;
}

/** Waits until the foreign code was called. */
export async function called(stage: Stage): Promise<void> {
  await until(() => stage.calls > 0, "the foreign code was called");
  for (let i = 0; i < 5; i++) await turn();
}

/** Defines a test for each place, with every way to misbehave. */
export function testBoundaries(boundaries: readonly Boundary[]): void {
  for (const { name, except, told, play } of boundaries) {
    Deno.test(`foreign code: ${name}`, async (t) => {
      for (const way of WAYS) {
        if (except?.(way)) continue;
        await t.step(way.name, () => {
          const stage = new Stage(way);
          return stage.play(() => play(stage, stage.code()), told?.(way) ?? way.tells);
        });
      }
    });
  }
}
