// JSON such as a market feed's: keys that repeat, numbers that don't. The same for Deno and Node.

/**
 * Messages of exactly `size` bytes, all different.
 *
 * @param {number} size Bytes of each.
 * @param {number} [count] How many.
 * @returns {Uint8Array[]} The messages, in UTF-8.
 */
export function feed(size, count = Math.max(8, Math.min(1024, (4 << 20) / size))) {
  let state = 42;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 4294967296 * below);
  };
  const symbols = Array.from(
    { length: 64 },
    () => String.fromCharCode(...Array.from({ length: 4 }, () => 65 + random(26))),
  );
  const encoder = new TextEncoder();
  const messages = [];
  for (let i = 0; i < count; i++) {
    let text = "[";
    while (text.length < size) {
      text += JSON.stringify({
        id: random(1e9),
        symbol: symbols[random(64)],
        bid: random(1e6) / 100,
        ask: random(1e6) / 100,
        volume: random(1e5),
        time: 1_700_000_000_000 + random(1e9),
        side: random(2) ? "buy" : "sell",
        tags: random(4) ? ["lit"] : ["dark", "block"],
      }) + ",";
    }
    messages.push(encoder.encode(text.slice(0, size)));
  }
  return messages;
}
