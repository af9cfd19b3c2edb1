// The library as its tests see it with `deno task test:system`: every context has the kernel's own sockets.
export * from "../../../mod.ts";
import { Context as Plain, type ContextOptions } from "../../../mod.ts";
import { systemSockets } from "../../../system.ts";

const sockets = systemSockets();

/** A context whose sockets are the kernel's own unless a test says otherwise. */
export class Context<Data = unknown> extends Plain<Data> {
  constructor(options: ContextOptions<Data> = {} as ContextOptions<Data>) {
    super({ sockets, ...options });
  }
}
