// Opcodes, RFC 6455 5.2. 3-7 and 11-15 are reserved.
export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

// The first byte of a frame: FIN, three reserved bits, opcode.
export const FIN = 0x80;
export const RSV1 = 0x40;
export const RSV2 = 0x20;
export const RSV3 = 0x10;
export const RSV = RSV1 | RSV2 | RSV3;

/** Our end of the connection. Clients mask their frames, servers don't (RFC 6455 5.1). */
export type Role = "client" | "server";
