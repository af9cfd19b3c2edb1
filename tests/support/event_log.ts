/** Records what callbacks report, and lets a test wait for the next event. */
export class EventLog<Event> {
  /** The events that were reported and not yet taken. */
  readonly events: Event[] = [];
  #waiting: ((event: Event) => void)[] = [];

  push(event: Event): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(event);
    else this.events.push(event);
  }

  /** Removes and returns the oldest event; waits for one if there is none. */
  next(): Promise<Event> {
    if (this.events.length > 0) return Promise.resolve(this.events.shift()!);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
