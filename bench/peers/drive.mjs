// The echo load for client libraries: each connection keeps `depth` messages in flight, or none at all.

import process from "node:process";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const rss = () => process.memoryUsage().rss;

/**
 * Drives `connect` and counts the messages that came back within the window, with the round trips if one is in flight,
 * and what the process grows by.
 */
export async function drive(connect, url, { connections, depth, size, warmup, seconds }) {
  const payload = new Uint8Array(size).map((_, i) => 97 + i % 26);
  const rssBefore = rss();
  const trips = [];
  let messages = 0;
  const senders = [];
  for (let i = 0; i < connections; i++) {
    let sent = 0;
    const send = await connect(url, size, (length) => {
      if (length !== size) throw new Error(`Expected an echo of ${size} bytes, received ${length}`);
      messages++;
      if (depth === 1) {
        const now = performance.now();
        if (sent > 0) trips.push(now - sent);
        sent = now;
      }
      send(payload);
    });
    senders.push(send);
  }
  for (const send of senders) {
    for (let i = 0; i < depth; i++) send(payload);
  }
  await sleep(warmup);
  const before = messages;
  trips.length = 0;
  const start = performance.now();
  await sleep(seconds);
  const elapsed = (performance.now() - start) / 1000;
  trips.sort((a, b) => a - b);
  const percentile = (share) => trips[Math.floor(trips.length * share)] * 1000;
  return {
    messages: messages - before,
    seconds: elapsed,
    ...(trips.length === 0 ? {} : { p50: percentile(0.5), p99: percentile(0.99) }),
    rssBefore,
    rssAfter: rss(),
  };
}
