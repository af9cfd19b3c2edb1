import { HandshakeError } from "../../errors.ts";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { HeadParser } from "../../handshake/head_parser.ts";
import { RefusalBody } from "../../handshake/refusal_body.ts";
import { parseResponseHead, type ResponseHead } from "../../handshake/response_head.ts";
import { PrefixedTransport } from "../../transport/prefixed.ts";
import type { Transport } from "../../transport/transport.ts";
import { formatAddress } from "../tcp.ts";
import type { Tunnel } from "./tunnel.ts";
import { checkHost, writeFully } from "./tunnel.ts";

const MAX_HEAD = 16 * 1024;

/**
 * Opens a tunnel through an HTTP proxy (RFC 9110 9.3.6).
 *
 * @param transport The connection to the proxy; ours from now on, and closed if there is no tunnel. Closing it aborts.
 * @param tunnel Where to, and as whom.
 * @returns The connection to the target. It may be another object than `transport`: the target may have spoken first,
 * and its bytes may have come with the proxy's answer.
 * @throws {HandshakeError} If the proxy refuses, with its status, or doesn't speak HTTP.
 */
export async function connectHttpProxy(transport: Transport, tunnel: Tunnel): Promise<Transport> {
  try {
    await writeFully(transport, formatRequest(tunnel));
    return await readAnswer(transport, formatAddress(tunnel.hostname, tunnel.port));
  } catch (error) {
    try {
      transport.close();
    } catch {
      // Closed by whoever aborted.
    }
    throw error;
  }
}

function formatRequest(tunnel: Tunnel): Uint8Array {
  checkHost(tunnel);
  const authority = formatAddress(tunnel.hostname, tunnel.port);
  let text = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n`;
  if (tunnel.username !== undefined) {
    // Base64 of UTF-8 (RFC 7617 2.1), so whatever is in them can't end the line.
    const pair = new TextEncoder().encode(`${tunnel.username}:${tunnel.password}`);
    text += `Proxy-Authorization: Basic ${btoa(String.fromCharCode(...pair))}\r\n`;
  }
  return new TextEncoder().encode(`${text}\r\n`);
}

async function readAnswer(transport: Transport, authority: string): Promise<Transport> {
  const attempt = `Cannot reach ${authority} through the proxy`;
  const parser = new HeadParser(MAX_HEAD);
  const buffer = new Uint8Array(4096);
  let total = 0;
  try {
    for (;;) {
      const count = await transport.read(buffer);
      if (count === null) throw new HandshakeError(`${attempt}: it closed the connection`);
      let at = 0;
      for (;;) {
        const end = parser.push(buffer.subarray(at, count));
        if (end === -1) break;
        at += end;
        total += parser.text.length;
        const head = parseResponseHead(parser.text);
        // Interim responses may come first (RFC 9110 15.2), bounded like the head; a 101 answers no CONNECT.
        if (head.status < 200 && head.status !== 101 && total <= MAX_HEAD) continue;
        const rest = buffer.subarray(at, count);
        if (head.status < 200 || head.status > 299) {
          throw await refused(transport, head, rest, attempt);
        }
        // In a 2xx to CONNECT, Content-Length and Transfer-Encoding say nothing (RFC 9110 9.3.6): it's the tunnel.
        return rest.length === 0 ? transport : new PrefixedTransport(rest.slice(), transport);
      }
    }
  } catch (cause) {
    if (!(cause instanceof BadHeadError)) throw cause;
    throw new HandshakeError(`${attempt}: its answer isn't HTTP: ${cause.message}`, { cause });
  }
}

async function refused(
  transport: Transport,
  head: ResponseHead,
  rest: Uint8Array,
  attempt: string,
): Promise<HandshakeError> {
  const body = new RefusalBody(head);
  const buffer = new Uint8Array(4096);
  let done = rest.length > 0 ? body.push(rest) : body.done;
  while (!done) {
    const count = await transport.read(buffer).catch(() => null);
    if (count === null) break;
    done = body.push(buffer.subarray(0, count));
  }
  const { status, reason, fields } = head;
  const answer = reason === "" ? String(status) : `${status} ${reason}`;
  const hint = status === 407 ? "; the URL of the proxy can carry user and password" : "";
  return new HandshakeError(`${attempt}: it answered ${answer}${hint}`, {
    status,
    headers: fields.toHeaders(),
    body: body.bytes,
  });
}
