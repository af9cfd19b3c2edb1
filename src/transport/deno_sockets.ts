import { refusal } from "../util/check.ts";
import type { Sockets } from "./sockets.ts";

/** Deno's own sockets. */
export const DENO_SOCKETS: Sockets = {
  listenTcp({ hostname, port, backlog, reusePort }) {
    const options = { hostname, port, tcpBacklog: backlog };
    // Even `reusePort: false` would need `--unstable-net`.
    return Deno.listen(reusePort ? { ...options, reusePort } : options);
  },
  listenUnix: (path) => Deno.listen({ transport: "unix", path }),
  // Tries the addresses of a name as in RFC 8305.
  connectTcp: (hostname, port, signal) => Deno.connect({ hostname, port, signal }),
  connectUnix: (path) => Deno.connect({ transport: "unix", path }),
};

/** Checks the option `sockets`; Deno's own by default. */
export function resolveSockets(action: string, sockets: Sockets | undefined): Sockets {
  if (sockets === undefined) return DENO_SOCKETS;
  const methods = ["listenTcp", "listenUnix", "connectTcp", "connectUnix"] as const;
  const given = sockets as unknown as Record<string, unknown> | null;
  if (
    typeof given !== "object" || given === null ||
    methods.some((name) => typeof given[name] !== "function")
  ) {
    throw refusal(`${action} with sockets`, sockets, "what systemSockets() returns");
  }
  return sockets;
}
