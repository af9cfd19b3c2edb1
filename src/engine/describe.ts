import { printable, quote } from "../util/quote.ts";
import type { Engine } from "./engine.ts";
import { describeHolds } from "./holds.ts";
import { Phase } from "../protocol/closing_handshake.ts";

// Longer URLs are cut: the peer chose them.
const LONGEST_URL = 200;

/**
 * Describes a connection in a line for logs and debug pages: our role, its state and age, the peer, the URL, the queues
 * and what holds them. The query of the URL, headers and `data` are left out: they may contain secrets.
 *
 * @param engine The connection.
 * @param url Its URL.
 * @returns One line without control characters.
 */
export function describeConnection(engine: Engine, url: string): string {
  const { record } = engine;
  const parts: string[] = [engine.role];
  if (engine.phase === Phase.Connecting) parts.push(`connecting for ${describeAge(engine.since)}`);
  else if (record !== null && engine.state === "closed") parts.push(printable(`closed: ${record}`));
  else parts.push(`${engine.state} for ${describeAge(engine.since)}`);
  const peer = describeAddress(engine.remoteAddr);
  if (peer !== "") parts.push(`peer ${peer}`);
  if (url !== "") parts.push(describeUrl(url));
  if (engine.state !== "closed") parts.push(...describeFlow(engine));
  return `Connection { ${parts.join(", ")} }`;
}

/** The queues, what holds them, the topics, and the last round trip. */
function describeFlow(engine: Engine): string[] {
  const { queuedBytes, queuedMessages, receiver, writer, topics } = engine;
  const parts = [`queue ${count(queuedMessages, "message")} (${count(queuedBytes, "byte")})`];
  if (writer.held) parts.push("sending held: pauseSending() was called");
  // While a consumer awaits a message nothing is held, although there is no onMessage.
  if (receiver.room !== Infinity) {
    const waiting = receiver.waiting > 0 ? `, ${count(receiver.waiting, "message")} waiting` : "";
    parts.push(`held: ${describeHolds(receiver.holdReasons)}${waiting}`);
  }
  if (topics !== null && topics.size > 0) parts.push(count(topics.size, "topic"));
  const roundTrip = engine.pings?.lastRoundTrip ?? null;
  if (roundTrip !== null) parts.push(`round trip ${roundTrip.toFixed(1)} ms`);
  return parts;
}

/** `1 message`, `2,000 messages`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** An address as in a URL, or the path of a Unix socket; `""` if there is none. */
function describeAddress(address: Deno.Addr | null): string {
  if (address === null) return "";
  if ("hostname" in address) {
    const { hostname, port } = address;
    // A proxy doesn't always say the port of its client.
    if (port === 0) return printable(hostname);
    return printable(`${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`);
  }
  return "path" in address ? `unix:${printable(address.path ?? "")}` : "";
}

/** A URL without its query, which may carry a token. */
function describeUrl(url: string): string {
  const query = url.indexOf("?");
  const shown = query < 0 ? url : `${url.slice(0, query)}?…`;
  return shown.length > LONGEST_URL ? quote(shown, LONGEST_URL) : printable(shown);
}

/** The time since a reading of `performance.now()`. */
function describeAge(since: number): string {
  const seconds = (performance.now() - since) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
