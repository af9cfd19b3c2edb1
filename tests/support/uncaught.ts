import { EventLog } from "./event_log.ts";

/** Records uncaught errors, in their order, which would otherwise fail the test. */
export function uncaught(): Disposable & { readonly log: EventLog<unknown> } {
  const log = new EventLog<unknown>();
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    log.push(event.error);
  };
  addEventListener("error", listener);
  return { log, [Symbol.dispose]: () => removeEventListener("error", listener) };
}
