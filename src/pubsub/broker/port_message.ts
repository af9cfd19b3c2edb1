/** A publication in a batch: the topic, the flags of the envelope, and the end of its payload. */
type Entry = readonly [topic: string, flags: number, end: number];

/** The messages between a hub and a worker. */
export type PortMessage =
  | { type: "batch"; entries: readonly Entry[]; bytes: Uint8Array }
  | { type: "taken"; count: number }
  | { type: "subscribe"; id: number; topic: string }
  | { type: "subscribed"; id: number }
  | { type: "unsubscribe"; topic: string }
  | { type: "gap"; since: number; topics: string[] }
  | { type: "bye" };

/**
 * Checks a message that has arrived at a port, to which any code may have posted.
 *
 * @throws {TypeError} If it isn't a message of our own. The error's message is the second half of a sentence.
 */
export function parsePortMessage(data: unknown): PortMessage {
  if (typeof data !== "object" || data === null) {
    throw new TypeError(`it is ${data === null ? "null" : `a ${typeof data}`}, not an object`);
  }
  const message = data as PortMessage;
  switch (message.type) {
    case "batch":
      checkBatch(message);
      break;
    case "taken":
      check(isCount(message.count), "count", message.count);
      break;
    case "subscribe":
      check(isCount(message.id), "id", message.id);
      check(isText(message.topic), "topic", message.topic);
      break;
    case "subscribed":
      check(isCount(message.id), "id", message.id);
      break;
    case "unsubscribe":
      check(isText(message.topic), "topic", message.topic);
      break;
    case "gap":
      check(typeof message.since === "number", "since", message.since);
      check(
        Array.isArray(message.topics) && message.topics.every(isText),
        "topics",
        message.topics,
      );
      break;
    case "bye":
      break;
    default:
      check(false, "type", (message as { type: unknown }).type);
  }
  return message;
}

function checkBatch({ entries, bytes }: Extract<PortMessage, { type: "batch" }>): void {
  check(Array.isArray(entries), "entries", entries);
  check(bytes instanceof Uint8Array, "bytes", bytes);
  let at = 0;
  for (const entry of entries) {
    check(Array.isArray(entry), "entry", entry);
    const [topic, flags, end] = entry;
    check(isText(topic), "topic", topic);
    check(isCount(flags) && flags < 16, "flags", flags);
    check(isCount(end) && end >= at && end <= bytes.length, "end", end);
    at = end;
  }
}

function check(fits: boolean, name: string, value: unknown): void {
  if (fits) return;
  const shown = typeof value === "number" ? value : value === null ? "null" : typeof value;
  throw new TypeError(`its ${name} is ${shown}`);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}
