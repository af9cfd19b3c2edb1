// Measures what topics cost everything else: latency with a slow subscriber, and delays of timers with many.

import { type Connection, Context } from "../../mod.ts";
import { denoScript, runScript } from "./peers.ts";

const START_TIMEOUT = 20_000;

/** One measurement. */
export interface TopicOptions {
  receivers: number;
  size: number;
  /** Pause between publications in ms. */
  every: number;
  seconds: number;
  /** Whether there is one more subscriber, which reads nothing. */
  slow: boolean;
}

/** The result; times in ms. */
export interface TopicResult {
  p50: number;
  p99: number;
  deliveries: number;
  /** The most that a timer of the server was late. */
  late: number;
}

/** Starts a server and publishes for a while to a number of subscribers. */
export async function measureTopic(options: TopicOptions): Promise<TopicResult> {
  const { receivers, size, every, seconds, slow } = options;
  const command = denoScript("lib", "topic_server.ts");
  await using server = runScript([...command, "--size", `${size}`, "--every", `${every}`], 0);
  const [, url] = await server.line(/listening on (\S+)/, START_TIMEOUT);
  await using context = new Context({ keepAlive: false });
  const samples: number[] = [];
  let measuring = false;
  const reported = Promise.withResolvers<{ late: number }>();
  const onMessage = (_: Connection, data: string | Uint8Array) => {
    if (typeof data === "string") return reported.resolve(JSON.parse(data));
    if (!measuring) return;
    const sent = new DataView(data.buffer, data.byteOffset).getFloat64(0);
    samples.push(performance.timeOrigin + performance.now() - sent);
  };
  let first: Connection | undefined;
  for (let done = 0; done < receivers;) {
    const some = Array.from(
      { length: Math.min(100, receivers - done) },
      () => context.connect(url, { onMessage }),
    );
    await Promise.all(some.map(({ opened }) => opened));
    first ??= some[0];
    done += some.length;
  }
  if (slow) {
    const stuck = context.connect(url, { maxMessageSize: 0 });
    await stuck.opened;
    stuck.pause();
    stuck.send("clog");
  }
  first!.send("start");
  await pause(500);
  measuring = true;
  await pause(seconds * 1000);
  measuring = false;
  first!.send("stop");
  const { late } = await reported.promise;
  for (const conn of context.connections) conn.terminate();
  samples.sort((a, b) => a - b);
  const at = (share: number) => samples[Math.floor(share * (samples.length - 1))];
  return { p50: at(0.5), p99: at(0.99), deliveries: samples.length, late };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
