import { RawZlib } from "./raw_zlib.ts";
import { CONTEXT_COST, workQueue } from "./work_queue.ts";

// Without context takeover a context keeps nothing from one message to the next, so a connection needs one only during a
// message. It takes one from the cache and puts it back at the end of the message, so silent connections have none. A
// cache keeps one spare context, and there is one cache for each set of parameters in use.

/** Keeps a context of one set of parameters between messages. */
export class ZlibCache {
  readonly #make: () => RawZlib;
  #spare: RawZlib | null = null;

  constructor(make: () => RawZlib) {
    this.#make = make;
  }

  /** Takes a context with an empty window. */
  take(): RawZlib {
    const spare = this.#spare;
    if (spare === null) {
      workQueue.charge(CONTEXT_COST);
      return this.#make();
    }
    this.#spare = null;
    return spare;
  }

  /** Puts a context back. It must not have failed; the user of a failed one closes it. */
  put(context: RawZlib): void {
    if (this.#spare !== null) {
      context.close();
      return;
    }
    try {
      // At once, so that a message of another connection can't refer to this one's contents.
      context.reset();
    } catch {
      // The message is complete, so there is no error to report. The next one gets a new context.
      context.close();
      return;
    }
    this.#spare = context;
  }
}

const deflaters = new Map<number, ZlibCache>();
const inflaters = new Map<number, ZlibCache>();

/** The cache of the contexts that compress with these parameters. */
export function deflaterCache(windowBits: number, memLevel: number, level: number): ZlibCache {
  return cacheOf(
    deflaters,
    windowBits * 100 + memLevel * 10 + level,
    () => RawZlib.deflate(windowBits, memLevel, level),
  );
}

/** The cache of the contexts that inflate from this window. */
export function inflaterCache(windowBits: number): ZlibCache {
  return cacheOf(inflaters, windowBits, () => RawZlib.inflate(windowBits));
}

function cacheOf(caches: Map<number, ZlibCache>, key: number, make: () => RawZlib): ZlibCache {
  let found = caches.get(key);
  if (found === undefined) {
    found = new ZlibCache(make);
    caches.set(key, found);
  }
  return found;
}
