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

/** Events that one look takes at most. */
const BATCH = 256;
/** How long to go on looking when nothing came, in ms: longer than going to sleep and being woken takes. */
const SPIN = 0.05;
/** Below this a look without sleep isn't worth it. */
const SHORTEST_SPIN = 0.005;
/** How often sockets are looked at that keep no process alive, in ms, when there is no other. */
const UNREF_INTERVAL = 10;

/** What has a descriptor that is watched. */
export interface Watched {
  readonly fd: number;
  /** What has come to be since the last call: bits of EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP. */
  ready(events: number): void;
  /** Goes on with what it had to leave for the next turn. */
  resumeTurn(): void;
}

/**
 * Learns from the kernel which descriptors have become readable or writable. One for a thread.
 *
 * - While there is work it looks once in each turn of the event loop, so that timers and other I/O have their turns too.
 * - With nothing to do it sleeps in a thread of its own, and the process uses no processor time. It goes on looking before
 *   that, for the time that a sleep would cost, as long as such looks have found something lately.
 * - It keeps the process alive while anything is watched that does.
 */
export class Poller {
  readonly libc: LibC;
  /** The error of the last call; to be read in the same turn. */
  readonly errno: () => number;
  readonly #layout: EventLayout;
  readonly #epoll: number;
  /** Wakes a sleeping look. */
  readonly #waker: number;
  readonly #events: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  /** What is watched, by descriptor. */
  readonly #watched: (Watched | undefined)[] = [];
  /** Whether it keeps the process alive, by descriptor. */
  readonly #refed: boolean[] = [];
  /** A number for each use of a descriptor: the event of one that was closed isn't its successor's. */
  readonly #generations: number[] = [];
  /** Memory of the C library, for what a sleeping look finds: it may come back when this thread has ended. */
  #asleep: { readonly memory: Deno.PointerObject; readonly view: DataView } | null = null;
  #count = 0;
  #refs = 0;
  #sleeping = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #spin = 0;
  #idleSince = -1;
  #sleptAt = 0;
  /** Those that go on in the next turn. */
  #resuming: Watched[] = [];
  readonly #turn = () => {
    this.#scheduled = false;
    this.#look();
  };

  constructor(libc: LibC, layout: EventLayout) {
    this.libc = libc;
    this.errno = errnoReader(libc);
    this.#layout = layout;
    this.#events = new Uint8Array(BATCH * layout.size);
    this.#view = new DataView(this.#events.buffer);
    this.#epoll = this.check("make a poll", libc.epoll_create1(SOCK_FLAGS & 0x80000));
    this.#waker = this.check("make a waker", libc.eventfd(0, SOCK_FLAGS));
    // Edge-triggered, so that what woke it need not be read.
    this.#control(EPOLL_CTL_ADD, this.#waker, (EPOLLIN | EPOLLET) >>> 0, 0);
  }

  /** Throws the error of a call that has failed; returns its result otherwise. */
  check(attempt: string, result: number): number {
    if (result < 0) throw systemError(attempt, this.errno());
    return result;
  }

  /** Watches a descriptor until `unwatch`; its owner keeps the process alive. */
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

  /** Ends the watch, before the descriptor is closed. */
  unwatch(watched: Watched): void {
    const { fd } = watched;
    this.#count--;
    this.setRefed(watched, false);
    this.#watched[fd] = undefined;
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Whether it keeps the process alive from now on. Does nothing for what isn't watched any more. */
  setRefed(watched: Watched, refed: boolean): void {
    const { fd } = watched;
    if (this.#watched[fd] !== watched || this.#refed[fd] === refed) return;
    this.#refed[fd] = refed;
    if (refed) {
      if (this.#refs++ === 0) this.#schedule();
    } else if (--this.#refs === 0) {
      // The process could not end while a look sleeps.
      if (this.#sleeping) this.libc.eventfd_write(this.#waker, 1n);
      else this.#schedule();
    }
  }

  /** Lets something go on in the next turn of the event loop. */
  resumeNextTurn(watched: Watched): void {
    this.#resuming.push(watched);
    this.#schedule();
  }

  #control(operation: number, fd: number, events: number, generation: number): void {
    const event = new Uint8Array(this.#layout.size), view = new DataView(event.buffer);
    view.setUint32(0, events, true);
    view.setUint32(this.#layout.data, fd, true);
    view.setUint32(this.#layout.data + 4, generation, true);
    this.check("watch a socket", this.libc.epoll_ctl(this.#epoll, operation, fd, event));
  }

  #schedule(): void {
    if (this.#scheduled || (this.#sleeping && this.#resuming.length === 0)) return;
    if (this.#refs > 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#scheduled = true;
      setImmediate(this.#turn);
    } else if (this.#timer === undefined && this.#count > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#look();
      }, this.#resuming.length > 0 ? 0 : UNREF_INTERVAL);
      Deno.unrefTimer(this.#timer);
    }
  }

  #look(): void {
    const count = this.#sleeping ? 0 : this.libc.epoll_wait(this.#epoll, this.#events, BATCH, 0);
    if (count < 0 && this.errno() !== EINTR) throw systemError("poll", this.errno());
    const worked = this.#resume() || count > 0;
    this.#dispatch(this.#view, count);
    this.#next(worked);
  }

  #resume(): boolean {
    if (this.#resuming.length === 0) return false;
    const resuming = this.#resuming;
    this.#resuming = [];
    for (const watched of resuming) {
      // It may have been closed since.
      if (this.#watched[watched.fd] !== watched) continue;
      try {
        watched.resumeTurn();
      } catch (error) {
        reportError(error);
      }
    }
    return true;
  }

  #dispatch(view: DataView, count: number): void {
    const { size, data } = this.#layout;
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const fd = view.getUint32(at + data, true);
      const watched = this.#watched[fd];
      if (watched === undefined || view.getUint32(at + data + 4, true) !== this.#generations[fd]) {
        continue;
      }
      try {
        watched.ready(view.getUint32(at, true));
      } catch (error) {
        // The events of the others won't come again.
        reportError(error);
      }
    }
  }

  /** Looks again, or sleeps. */
  #next(worked: boolean): void {
    if (this.#refs === 0 || this.#resuming.length > 0) {
      this.#schedule();
      return;
    }
    const now = performance.now();
    if (worked) {
      // It came while looking, so looking is worth it.
      if (this.#idleSince >= 0) this.#spin = SPIN;
      this.#idleSince = -1;
      this.#schedule();
      return;
    }
    if (this.#idleSince < 0) this.#idleSince = now;
    if (now - this.#idleSince < this.#spin) {
      this.#schedule();
      return;
    }
    this.#spin = this.#spin > SHORTEST_SPIN ? this.#spin / 2 : 0;
    this.#idleSince = -1;
    this.#sleep(now);
  }

  #sleep(now: number): void {
    if (this.#sleeping) return;
    this.#sleeping = true;
    this.#sleptAt = now;
    const { memory, view } = this.#asleep ??= this.#room();
    this.libc.epoll_wait_asleep(this.#epoll, memory, BATCH, -1).then((count) => {
      this.#sleeping = false;
      const woken = performance.now();
      // What came so soon would have been found by looking on.
      if (woken - this.#sleptAt < SPIN * 2) this.#spin = SPIN;
      this.#dispatch(view, count);
      this.#next(true);
    });
  }

  #room(): { memory: Deno.PointerObject; view: DataView } {
    const length = BATCH * this.#layout.size;
    const memory = this.libc.malloc(length);
    if (memory === null) throw new Error("Cannot poll: out of memory");
    return { memory, view: new DataView(Deno.UnsafePointerView.getArrayBuffer(memory, length)) };
  }
}
