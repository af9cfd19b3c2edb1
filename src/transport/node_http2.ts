import { getBuiltinModule } from "node:process";

/**
 * Returns `node:http2`. It is loaded by the first call: it takes 4 MB, which servers and clients of HTTP/1.1 don't need, and
 * 20 ms.
 */
export function nodeHttp2(): typeof import("node:http2") {
  return getBuiltinModule("node:http2");
}
