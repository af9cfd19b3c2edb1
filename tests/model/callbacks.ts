import type { Reaction } from "./plan.ts";

/** An error that a callback throws or rejects with on purpose. It has to be reported exactly once. */
export class Marker extends Error {
  override readonly name = "Marker";
}

/** A promise that a callback has returned. */
export interface Waiting {
  readonly of: string;
  settle(reject: boolean): void;
}

/** How callbacks react in addition to recording their call. */
export class Reactions {
  /** The reaction of the next callback. */
  next: Reaction = "nothing";
  /** The errors that have to be reported, and how often they were. */
  readonly markers: Map<Marker, number> = new Map();
  /** The unsettled promises of callbacks. */
  readonly waiting: Waiting[] = [];

  /** @param act Calls a method of the library. */
  constructor(readonly act: (what: Reaction) => void) {}

  /** Makes the result of a callback. `over` is called when it has settled. */
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

  /** Records that an error was reported; returns whether it is one of these. */
  reported(error: unknown): boolean {
    if (!(error instanceof Marker)) return false;
    this.markers.set(error, (this.markers.get(error) ?? 0) + 1);
    return true;
  }
}
