/** Keeps what callbacks report, and lets a test await the next of it. */
export class EventLog<Event> {
  /** What has been reported and not taken. */
  readonly events: Event[] = [];
  #waiting: ((event: Event) => void)[] = [];

  push(event: Event): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(event);
    else this.events.push(event);
  }

  /** Takes the oldest event; waits for one where there is none. */
  next(): Promise<Event> {
    if (this.events.length > 0) return Promise.resolve(this.events.shift()!);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
