/**
 * The kernel's own sockets, for Linux and `--allow-ffi`. Experimental.
 *
 * @module
 */
export { type SystemSocketOptions, systemSockets } from "./src/transport/system/system_sockets.ts";
