import type { ReceivedMessage } from "../mod.ts";

const SHOWN = 32;

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
  return `(binary, ${data.length} bytes) ${bytes.join(" ")}${more}`;
}

/** The beginning of a message, printable. */
export function excerpt(data: ReceivedMessage): string {
  if (typeof data !== "string") return hexLine(data);
  const text = data.length > 60 ? data.slice(0, 60) + "…" : data;
  return `(text, ${data.length} characters) ${JSON.stringify(text)}`;
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
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** Text without what a terminal would obey, besides tabs and line ends. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "?");
}
