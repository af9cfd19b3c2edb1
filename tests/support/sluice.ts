// The library as the tests import it: import_map.json replaces mod.ts by this module. With SLUICE_TEST_SOCKETS=system, every
// context that a test makes uses the kernel's sockets, unless the test chooses others.
export * from "../../mod.ts";
import { Context as Plain, type ContextOptions, type Sockets } from "../../mod.ts";
import { systemSockets } from "../../system.ts";

/** The sockets of the tests' contexts; `undefined` for Deno's own, which the library uses by default. */
export const TEST_SOCKETS: Sockets | undefined =
  mayRead("SLUICE_TEST_SOCKETS") && Deno.env.get("SLUICE_TEST_SOCKETS") === "system" && mayCall()
    ? systemSockets()
    : undefined;

class WithSockets extends Plain {
  constructor(options: ContextOptions = {}) {
    // The library has to refuse what isn't an object.
    super(options?.constructor === Object ? { sockets: TEST_SOCKETS, ...options } : options);
  }
}

/** The context of a test. */
export const Context = (TEST_SOCKETS === undefined ? Plain : WithSockets) as typeof Plain;
/** The context of a test. */
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
