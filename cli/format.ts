import { quote } from "../src/util/quote.ts";
import type { ReceivedMessage } from "../mod.ts";

/** The most bytes, and the most characters, of a message that are shown. */
const SHOWN = 32, LONGEST = 60;

/** A message as an object of `--json`. */
export function jsonMessage(data: ReceivedMessage): Record<string, unknown> {
  return typeof data === "string"
    ? { type: "text", data }
    : { type: "binary", length: data.length, base64: data.toBase64() };
}

/** A binary message as a line. */
export function hexLine(data: Uint8Array): string {
  const bytes = Array.from(data.subarray(0, SHOWN), (byte) => byte.toString(16).padStart(2, "0"));
  const more = data.length > SHOWN ? " …" : "";
  return `(binary, ${thousands(data.length)} bytes) ${bytes.join(" ")}${more}`;
}

/** The beginning of a message, printable, with the length if it is longer. */
export function excerpt(data: ReceivedMessage): string {
  if (typeof data !== "string") return hexLine(data);
  const length = data.length > LONGEST ? ` (${thousands(data.length)} characters)` : "";
  return quote(data, LONGEST) + length;
}

/** A number with separators between thousands. */
export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** An address as `host:port`. */
export function address(addr: Deno.Addr | null): string {
  if (addr === null) return "?";
  if (!("hostname" in addr)) return "path" in addr ? addr.path : "?";
  const { hostname, port } = addr;
  // A proxy doesn't always say the port of its client.
  if (port === 0) return hostname;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
