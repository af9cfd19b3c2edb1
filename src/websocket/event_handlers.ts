/** What an `on…` attribute may be set to. */
export type EventHandler = ((event: Event) => unknown) | object | null;

/**
 * The `on…` attributes of an event target (HTML standard, 8.1.8.1): one listener per attribute, in the place among the
 * others at which the attribute was first set.
 */
export class EventHandlers {
  readonly #target: EventTarget;
  readonly #handlers = new Map<string, { handler: object; listener: (event: Event) => void }>();

  /** @param target Whose attributes these are. */
  constructor(target: EventTarget) {
    this.#target = target;
  }

  /** What an attribute is set to. */
  get(type: string): EventHandler {
    return this.#handlers.get(type)?.handler ?? null;
  }

  /** Sets an attribute; what is no object clears it. */
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
      // An object that can't be called may be the attribute's value; it is not called.
      if (typeof handler === "function" && handler.call(this.#target, event) === false) {
        event.preventDefault();
      }
    };
    this.#handlers.set(type, { handler: value, listener });
    this.#target.addEventListener(type, listener);
  }
}
