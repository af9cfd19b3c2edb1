import { EventLog } from "./event_log.ts";

/** Errors that nobody catches, in their order, while a test expects them. */
export function uncaught(): Disposable & { readonly log: EventLog<unknown> } {
  const log = new EventLog<unknown>();
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    log.push(event.error);
  };
  addEventListener("error", listener);
  return { log, [Symbol.dispose]: () => removeEventListener("error", listener) };
}
