import type { Reaction } from "./plan.ts";

/** An error that a callback throws, or rejects with, on purpose; it has to be reported exactly once. */
export class Marker extends Error {
  override readonly name = "Marker";
}

/** Something that a callback waits for. */
export interface Waiting {
  readonly of: string;
  settle(reject: boolean): void;
}

/** What callbacks do besides noting that they were called. */
export class Reactions {
  /** What the next callback does. */
  next: Reaction = "nothing";
  /** Errors that have to be reported, and how often they were. */
  readonly markers: Map<Marker, number> = new Map();
  /** What callbacks wait for. */
  readonly waiting: Waiting[] = [];

  /** @param act Calls into the library. */
  constructor(readonly act: (what: Reaction) => void) {}

  /** To be returned from a callback. `over` is called when what it returned has settled. */
  react(of: string, over: () => void = () => {}): unknown {
    const reaction = this.next;
    this.next = "nothing";
    switch (reaction) {
      case "nothing":
        over();
        return undefined;
      case "throw":
        over();
        throw this.#marker(`${of} throws`);
      case "reject":
        over();
        return Promise.reject(this.#marker(`${of} rejects`));
      case "wait":
        return new Promise<void>((resolve, reject) => {
          this.waiting.push({
            of,
            settle: (rejects) => {
              over();
              if (rejects) reject(this.#marker(`${of} rejects late`));
              else resolve();
            },
          });
        });
      case "thenable":
        return {
          then: (resolve: () => void) => {
            over();
            resolve();
          },
        };
      case "bad thenable":
        over();
        return { then: (_: unknown, reject: (error: Error) => void) => reject(this.#marker(of)) };
      case "hostile thenable": {
        over();
        const marker = this.#marker(`${of}: then throws`);
        return {
          then(resolve: () => void, reject: (error: Error) => void) {
            reject(marker);
            resolve();
            reject(marker);
            throw marker;
          },
        };
      }
      default:
        this.act(reaction);
        over();
        return undefined;
    }
  }

  #marker(what: string): Marker {
    const marker = new Marker(what);
    this.markers.set(marker, 0);
    return marker;
  }

  /** Notes that an error was reported; returns whether it was one of these. */
  reported(error: unknown): boolean {
    if (!(error instanceof Marker)) return false;
    this.markers.set(error, (this.markers.get(error) ?? 0) + 1);
    return true;
  }
}
