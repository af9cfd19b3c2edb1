import { HandshakeError } from "../../errors.ts";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { HeadParser } from "../../handshake/head_parser.ts";
import { RefusalBody } from "../../handshake/refusal_body.ts";
import { parseResponseHead, type ResponseHead } from "../../handshake/response_head.ts";
import { PrefixedTransport } from "../../transport/prefixed.ts";
import { closeQuietly, readHead, readUntil, writeAll } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import { printable } from "../../util/quote.ts";
import { formatAddress } from "../../transport/attempt_error.ts";
import { checkTunnel, proxyLeft, type Tunnel } from "./tunnel.ts";
import { encodeUtf8 } from "../../protocol/utf8.ts";
import { basicCredentials } from "../../handshake/basic_credentials.ts";

const MAX_HEAD = 16 * 1024;

/**
 * Opens a tunnel through an HTTP proxy (RFC 9110 9.3.6).
 *
 * @param transport The connection to the proxy, which is closed if the tunnel fails. Closing it aborts.
 * @param tunnel The target and the credentials.
 * @returns The connection to the target. It may be another object than `transport`, since bytes of the target may have come
 * with the proxy's answer.
 * @throws {HandshakeError} If the proxy refuses, with its status, or doesn't speak HTTP.
 */
export async function connectHttpProxy(transport: Transport, tunnel: Tunnel): Promise<Transport> {
  try {
    await writeAll(transport, formatRequest(tunnel));
    return await readAnswer(transport, formatAddress(tunnel.hostname, tunnel.port));
  } catch (error) {
    closeQuietly(transport);
    throw error;
  }
}

function formatRequest(tunnel: Tunnel): Uint8Array {
  checkTunnel(tunnel);
  const authority = formatAddress(tunnel.hostname, tunnel.port);
  let text = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n`;
  if (tunnel.username !== undefined) {
    const credentials = basicCredentials(`${tunnel.username}:${tunnel.password}`);
    text += `Proxy-Authorization: ${credentials}\r\n`;
  }
  return encodeUtf8(`${text}\r\n`);
}

async function readAnswer(transport: Transport, authority: string): Promise<Transport> {
  const attempt = `Cannot reach ${authority} through the proxy`;
  const parser = new HeadParser(MAX_HEAD, true);
  let head: ResponseHead | null = null;
  let total = 0;
  try {
    const rest = await readHead(transport, (bytes) => {
      for (let at = 0;;) {
        const end = parser.push(bytes.subarray(at));
        if (end === -1) return -1;
        at += end;
        total += parser.text.length;
        head = parseResponseHead(parser.text);
        // Interim responses may come first (RFC 9110 15.2), within the same limit. A 101 can't answer a CONNECT.
        if (head.status >= 200 || head.status === 101 || total > MAX_HEAD) return at;
      }
    });
    if (rest === null) throw proxyLeft(attempt);
    const { status } = head!;
    if (status < 200 || status > 299) throw await refused(transport, head!, rest, attempt);
    // In a 2xx to CONNECT, Content-Length and Transfer-Encoding must be ignored (RFC 9110 9.3.6): the tunnel begins.
    return rest.length === 0 ? transport : new PrefixedTransport(rest, transport);
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
  await readUntil(transport, rest, (bytes) => body.push(bytes));
  const { status, reason, fields } = head;
  const answer = reason === "" ? String(status) : `${status} ${printable(reason)}`;
  const hint = status === 407 ? "; the URL of the proxy can carry user and password" : "";
  return new HandshakeError(`${attempt}: it answered ${answer}${hint}`, {
    status,
    headers: fields.toHeaders(),
    body: body.bytes,
  });
}
