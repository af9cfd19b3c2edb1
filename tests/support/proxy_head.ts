import { concat, utf8 } from "./bytes.ts";

/** The signature of version 2 (PROXY protocol, 2.2). */
const SIGNATURE = Uint8Array.from([...utf8("\r\n\r\n"), 0, ...utf8("\r\nQUIT\n")]);

/** Makes a PROXY head of version 1. */
export function v1(address: string, port: number): Uint8Array {
  const family = address.includes(":") ? "TCP6" : "TCP4";
  const target = family === "TCP6" ? "::1" : "10.0.0.1";
  return utf8(`PROXY ${family} ${address} ${target} ${port} 80\r\n`);
}

/** Makes a PROXY head of version 2 for an IPv4 address. */
export function v2(address: string, port: number, tlvs: number[] = []): Uint8Array {
  const body = [...address.split(".").map(Number), 10, 0, 0, 1, port >> 8, port & 0xff, 0, 80];
  return v2Head(0x21, 0x11, [...body, ...tlvs]);
}

/** Makes any PROXY head of version 2, valid or not. */
export function v2Head(
  command: number,
  family: number,
  body: number[],
  length = body.length,
): Uint8Array {
  return concat(SIGNATURE, Uint8Array.of(command, family, length >> 8, length & 0xff, ...body));
}
