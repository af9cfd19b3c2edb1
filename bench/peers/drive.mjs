// The echo load for client libraries: each connection keeps `depth` messages in flight.

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Drives `connect` and counts the messages that came back within the window. */
export async function drive(connect, url, { connections, depth, size, warmup, seconds }) {
  const payload = new Uint8Array(size).map((_, i) => 97 + i % 26);
  let messages = 0;
  const senders = [];
  for (let i = 0; i < connections; i++) {
    const send = await connect(url, size, (length) => {
      if (length !== size) throw new Error(`Expected an echo of ${size} bytes, received ${length}`);
      messages++;
      send(payload);
    });
    senders.push(send);
  }
  for (const send of senders) {
    for (let i = 0; i < depth; i++) send(payload);
  }
  await sleep(warmup);
  const before = messages;
  const start = performance.now();
  await sleep(seconds);
  return { messages: messages - before, seconds: (performance.now() - start) / 1000 };
}
