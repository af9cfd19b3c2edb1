/**
 * The kernel's sockets without Deno's in between, on Linux with `--allow-ffi`.
 *
 * @experimental It may change in a minor release.
 * @module
 */
export { type SystemSocketOptions, systemSockets } from "./src/transport/system/system_sockets.ts";
