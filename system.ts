/**
 * The kernel's own sockets, for Linux and `--allow-ffi`.
 *
 * @experimental It may change in a minor release.
 * @module
 */
export { type SystemSocketOptions, systemSockets } from "./src/transport/system/system_sockets.ts";
