// The library as the tests see it: import_map.json puts this module in place of mod.ts for them. With SLUICE_TEST_SOCKETS=system
// every context that a test makes has the kernel's own sockets, unless the test says otherwise.
export * from "../../mod.ts";
import { Context as Plain, type ContextOptions, type Sockets } from "../../mod.ts";
import { systemSockets } from "../../system.ts";

/** The sockets of the tests' contexts; `undefined` for Deno's, which programs without the permissions have as well. */
export const TEST_SOCKETS: Sockets | undefined =
  mayRead("SLUICE_TEST_SOCKETS") && Deno.env.get("SLUICE_TEST_SOCKETS") === "system" && mayCall()
    ? systemSockets()
    : undefined;

class WithSockets extends Plain {
  constructor(options: ContextOptions = {}) {
    // What is no object is the library's to refuse.
    super(options?.constructor === Object ? { sockets: TEST_SOCKETS, ...options } : options);
  }
}

/** A context of a test's. */
export const Context = (TEST_SOCKETS === undefined ? Plain : WithSockets) as typeof Plain;
/** A context of a test's. */
export type Context<Data = unknown, Default extends Data | undefined = undefined> = Plain<
  Data,
  Default
>;

function mayRead(variable: string): boolean {
  return Deno.permissions.querySync({ name: "env", variable }).state === "granted";
}

function mayCall(): boolean {
  return Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}
