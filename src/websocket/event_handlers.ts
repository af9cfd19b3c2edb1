/** The value of an `on…` attribute. */
export type EventHandler = ((event: Event) => unknown) | object | null;

/**
 * The `on…` attributes of an event target (HTML standard, 8.1.8.1). Each attribute has one listener, whose place among
 * the other listeners is that of the first time that the attribute was set.
 */
export class EventHandlers {
  readonly #target: EventTarget;
  readonly #handlers = new Map<string, { handler: object; listener: (event: Event) => void }>();

  /** @param target The event target that has the attributes. */
  constructor(target: EventTarget) {
    this.#target = target;
  }

  /** The value of an attribute. */
  get(type: string): EventHandler {
    return this.#handlers.get(type)?.handler ?? null;
  }

  /** Sets an attribute. A value that isn't an object clears it. */
  set(type: string, value: unknown): void {
    const current = this.#handlers.get(type);
    if ((typeof value !== "object" || value === null) && typeof value !== "function") {
      if (current === undefined) return;
      this.#target.removeEventListener(type, current.listener);
      this.#handlers.delete(type);
      return;
    }
    if (current !== undefined) {
      current.handler = value;
      return;
    }
    const listener = (event: Event) => {
      const handler = this.#handlers.get(type)?.handler;
      // The value may be an object that isn't callable; then nothing is called.
      if (typeof handler === "function" && handler.call(this.#target, event) === false) {
        event.preventDefault();
      }
    };
    this.#handlers.set(type, { handler: value, listener });
    this.#target.addEventListener(type, listener);
  }
}
