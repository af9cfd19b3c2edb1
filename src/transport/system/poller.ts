import { setImmediate } from "node:timers";
import {
  EINTR,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  errnoReader,
  type EventLayout,
  type LibC,
  SOCK_FLAGS,
  systemError,
} from "./libc.ts";
import type { Watched } from "./watched.ts";

/** The most events that one poll returns. */
const BATCH = 256;
/** How long to poll without sleeping when no event comes, in ms: longer than a sleep and a wake-up take. */
const SPIN = 0.05;
/** If a sleep, wake-up included, takes less than this, in ms, polling instead might have been enough. */
const SHORT_WAIT = 1.5 * SPIN;
/** Polling for less than this, in ms, isn't worth it. */
const SHORTEST_SPIN = 0.005;
/** How often to poll, in ms, if no socket keeps the process alive. */
const UNREF_INTERVAL = 10;

/** How long ready sockets are served in one turn, in ms. Timers and other I/O of the program wait for this time. */
const TURN = 4;
/** The most polls in one turn. */
const POLLS_PER_TURN = 4;
/**
 * How long turns are scheduled by immediates, one after another, in ms. The runtime polls its own I/O when it has nothing
 * to do, and otherwise only once in `TURNS_PER_STRETCH` turns, which may be long.
 */
const STRETCH = 8;
const TURNS_PER_STRETCH = 61;
/** The number of used places at the front of the queue from which on it is compacted. */
const COMPACT = 1024;

/**
 * Asks the kernel which descriptors have become readable or writable. There is one poller per thread.
 *
 * - While there is work, it polls a few times in each turn of the event loop, so that timers and other I/O get their turn.
 * - Without work, it waits in a thread of its own, and the process uses no processor time. Before that it polls for about
 *   the time that a sleep would cost, as long as such polls have found events recently.
 * - It keeps the process alive while a watched descriptor does.
 */
export class Poller {
  readonly libc: LibC;
  /** The error number of the last call. It has to be read in the same turn. */
  readonly errno: () => number;
  readonly #layout: EventLayout;
  readonly #epoll: number;
  /** The eventfd that ends a sleep. */
  readonly #waker: number;
  readonly #events: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  /** The event that `epoll_ctl` is called with. */
  readonly #event: Uint8Array<ArrayBuffer>;
  readonly #eventView: DataView;
  /** The watched objects, by descriptor. */
  readonly #watched: (Watched | undefined)[] = [];
  /** Whether a watched object keeps the process alive, by descriptor. */
  readonly #refed: boolean[] = [];
  /** A number for each use of a descriptor, so that an event of a closed socket doesn't reach its successor. */
  readonly #generations: number[] = [];
  /** The events of a sleep, in memory of the C library: the sleep may end after this thread. */
  #asleep: { readonly memory: Deno.PointerObject; readonly view: DataView } | null = null;
  /** The number of the current turn. */
  turn = 0;
  #count = 0;
  #refs = 0;
  #sleeping = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #spin = 0;
  #idleSince = -1;
  /** When the runtime last polled its own I/O, and the number of turns since then. */
  #stretchSince = 0;
  #turns = 0;
  /** The watched objects to serve, each once. An object that isn't served in this turn stays ahead of later ones. */
  readonly #queue: (Watched | undefined)[] = [];
  #head = 0;
  #tail = 0;
  readonly #turn = () => {
    this.#scheduled = false;
    this.#serve();
  };

  readonly #woken = (count: number) => {
    this.#sleeping = false;
    const now = performance.now();
    if (now - this.#idleSince < SHORT_WAIT) this.#spin = SPIN;
    this.#idleSince = -1;
    this.#beginStretch(now);
    this.#note(this.#asleep!.view, count);
    this.#serve();
  };

  constructor(libc: LibC, layout: EventLayout) {
    this.libc = libc;
    this.errno = errnoReader(libc);
    this.#layout = layout;
    this.#events = new Uint8Array(BATCH * layout.size);
    this.#view = new DataView(this.#events.buffer);
    this.#event = new Uint8Array(layout.size);
    this.#eventView = new DataView(this.#event.buffer);
    this.#epoll = this.check(libc.epoll_create1(SOCK_FLAGS & 0x80000), "make a poll");
    this.#waker = this.check(libc.eventfd(0, SOCK_FLAGS), "make a waker");
    // Edge-triggered, so that the counter of the eventfd need not be read.
    this.#control(EPOLL_CTL_ADD, this.#waker, (EPOLLIN | EPOLLET) >>> 0, 0);
  }

  /** Throws the error of a call that has failed; returns its result otherwise. */
  check(result: number, attempt?: string): number {
    if (result < 0) throw systemError(this.errno(), attempt);
    return result;
  }

  /** Watches a descriptor until `unwatch`. It keeps the process alive. */
  watch(watched: Watched): void {
    const { fd } = watched;
    const generation = this.#generations[fd] = ((this.#generations[fd] ?? 0) + 1) >>> 0;
    this.#control(
      EPOLL_CTL_ADD,
      fd,
      (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0,
      generation,
    );
    this.#watched[fd] = watched;
    this.#count++;
    this.setRefed(watched, true);
  }

  /** Ends the watch. Has to be called before the descriptor is closed. */
  unwatch(watched: Watched): void {
    const { fd } = watched;
    this.#count--;
    this.setRefed(watched, false);
    this.#watched[fd] = undefined;
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Sets whether an object keeps the process alive. Does nothing if it isn't watched any more. */
  setRefed(watched: Watched, refed: boolean): void {
    const { fd } = watched;
    if (this.#watched[fd] !== watched || this.#refed[fd] === refed) return;
    this.#refed[fd] = refed;
    if (refed) {
      if (this.#refs++ > 0) return;
      this.#beginStretch(performance.now());
      this.#schedule();
    } else if (--this.#refs === 0) {
      // The process can't end during a sleep.
      if (this.#sleeping) this.libc.eventfd_write(this.#waker, 1n);
      else this.#schedule();
    }
  }

  /** Serves an object in the next turn of the event loop, even without an event. */
  resumeNextTurn(watched: Watched): void {
    this.#enqueue(watched);
    this.#schedule();
  }

  #enqueue(watched: Watched): void {
    if (watched.queued) return;
    watched.queued = true;
    this.#queue[this.#tail++] = watched;
  }

  get #queueEmpty(): boolean {
    return this.#head === this.#tail;
  }

  #control(operation: number, fd: number, events: number, generation: number): void {
    const view = this.#eventView, { data } = this.#layout;
    view.setUint32(0, events, true);
    view.setUint32(data, fd, true);
    view.setUint32(data + 4, generation, true);
    this.check(this.libc.epoll_ctl(this.#epoll, operation, fd, this.#event), "watch a socket");
  }

  #schedule(): void {
    if (this.#scheduled || (this.#sleeping && this.#queueEmpty)) return;
    if (this.#refs > 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#scheduled = true;
      if (this.#stretched()) this.libc.usleep_asleep(1).then(this.#turn);
      else setImmediate(this.#turn);
    } else if (this.#timer === undefined && this.#count > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#serve();
      }, this.#queueEmpty ? UNREF_INTERVAL : 0);
      Deno.unrefTimer(this.#timer);
    }
  }

  /** Whether it is time to let the runtime poll its own I/O. */
  #stretched(): boolean {
    const now = performance.now();
    if (++this.#turns < TURNS_PER_STRETCH && now - this.#stretchSince < STRETCH) return false;
    const stretched = this.#turns < TURNS_PER_STRETCH;
    this.#beginStretch(now);
    return stretched;
  }

  #beginStretch(now: number): void {
    this.#stretchSince = now;
    this.#turns = 0;
  }

  /**
   * One turn: serves the objects that are ready, and those that have become ready in the meantime, unless the time of the
   * turn is up. A turn of the event loop costs more than a poll.
   */
  #serve(): void {
    this.turn++;
    const until = performance.now() + TURN;
    let worked = false;
    for (let polls = 0; polls < POLLS_PER_TURN; polls++) {
      if (!this.#sleeping) this.#look();
      if (this.#queueEmpty) break;
      worked = true;
      this.#serveQueue(until);
      if (!this.#queueEmpty) break;
    }
    this.#next(worked);
  }

  #look(): void {
    const count = this.libc.epoll_wait(this.#epoll, this.#events, BATCH, 0);
    if (count < 0 && this.errno() !== EINTR) throw systemError(this.errno(), "poll");
    this.#note(this.#view, count);
  }

  /** Queues the objects that have events. */
  #note(view: DataView, count: number): void {
    const { size, data } = this.#layout;
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const fd = view.getUint32(at + data, true);
      const watched = this.#watched[fd];
      if (watched === undefined || view.getUint32(at + data + 4, true) !== this.#generations[fd]) {
        continue;
      }
      watched.note(view.getUint32(at, true));
      this.#enqueue(watched);
    }
  }

  /** Serves the objects in the queue, until the time of the turn is up. */
  #serveQueue(until: number): void {
    const queue = this.#queue, end = this.#tail;
    do {
      const watched = queue[this.#head]!;
      queue[this.#head++] = undefined;
      watched.queued = false;
      // The object may have been closed in the meantime.
      if (this.#watched[watched.fd] !== watched) continue;
      try {
        watched.goOn();
      } catch (error) {
        // The others have to be served: their events aren't reported again.
        reportError(error);
      }
    } while (this.#head < end && performance.now() < until);
    this.#compact();
  }

  #compact(): void {
    if (this.#queueEmpty) {
      this.#head = this.#tail = 0;
    } else if (this.#head >= COMPACT && 2 * this.#head >= this.#tail) {
      this.#queue.copyWithin(0, this.#head, this.#tail);
      this.#queue.fill(undefined, this.#tail - this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
  }

  /** Schedules another turn, or sleeps. */
  #next(worked: boolean): void {
    // Polling has found an event, so it was worth it.
    if (worked && this.#idleSince >= 0) this.#spin = SPIN;
    if (worked) this.#idleSince = -1;
    if (this.#refs === 0 || this.#sleeping || !this.#queueEmpty || this.#pollsAgain(worked)) {
      this.#schedule();
    } else {
      this.#sleep();
    }
  }

  /** Whether to poll in another turn instead of sleeping, if the queue is empty. */
  #pollsAgain(worked: boolean): boolean {
    // Another poll costs less than a sleep that ends at once.
    if (worked) return true;
    const now = performance.now();
    if (this.#idleSince < 0) this.#idleSince = now;
    if (now - this.#idleSince < this.#spin) return true;
    this.#spin = this.#spin > SHORTEST_SPIN ? this.#spin / 2 : 0;
    return false;
  }

  #sleep(): void {
    this.#sleeping = true;
    const { memory } = this.#asleep ??= this.#room();
    this.libc.epoll_wait_asleep(this.#epoll, memory, BATCH, -1).then(this.#woken);
  }

  #room(): { memory: Deno.PointerObject; view: DataView } {
    const length = BATCH * this.#layout.size;
    const memory = this.libc.malloc(length);
    if (memory === null) throw new Error("Cannot poll: out of memory");
    return { memory, view: new DataView(Deno.UnsafePointerView.getArrayBuffer(memory, length)) };
  }
}
