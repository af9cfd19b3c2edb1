import { Context } from "../context.ts";

let shared: Context | null = null;

/** The context of all connections that are made without one. It doesn't keep the process alive. */
export function sharedContext(): Context {
  return shared ??= new Context();
}
