import { Context } from "../context.ts";

let shared: Context | null = null;

/** The context of the connections whose makers have named none. It keeps no process alive. */
export function sharedContext(): Context {
  return shared ??= new Context();
}
