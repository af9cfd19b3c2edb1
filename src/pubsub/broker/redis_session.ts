import { Buffer } from "node:buffer";
import { createClient, createCluster } from "redis";
import type { RedisBrokerSettings } from "./redis_options.ts";

/** One connection to Redis, or to the nodes of a cluster. It doesn't reconnect. */
export interface Session {
  connect(): Promise<void>;
  publish(channel: string, payload: Uint8Array): Promise<unknown>;
  subscribe(channel: string, listener: (payload: Uint8Array) => void): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  /** Settles when all its connections have answered. */
  ping(): Promise<unknown>;
  /** Ends after all commands are done. */
  close(): Promise<void>;
  /** Ends at once, in any state: all sockets are closed and all commands settle. */
  destroy(): void;
}

type Config = Pick<RedisBrokerSettings, "url" | "username" | "password">;

const CONNECT_TIMEOUT = 5000;

/** Gets the reports of a session, any number of times, even after its end. */
export interface SessionSink {
  /** A failure that isn't final while the session is connecting, such as that of one of several nodes. */
  trouble(error: unknown): void;
  /** The session can't be used any more. */
  lost(error: unknown): void;
}

/** Makes a session. */
export function makeSession(config: Config, sink: SessionSink): Session {
  // A destroyed client leaves a socket that is still connecting. The signal ends all sockets of the session, those of a
  // cluster's nodes included.
  const gone = new AbortController();
  const socket = {
    // The client's own reconnecting keeps commands without a limit, and doesn't report a gap.
    reconnectStrategy: false as const,
    connectTimeout: CONNECT_TIMEOUT,
    signal: gone.signal,
  };
  const { url, username, password } = config;
  const session = typeof url === "string"
    ? single(createClient({ url, username, password, socket }), sink)
    : cluster(
      createCluster({
        rootNodes: url.map((url) => ({ url })),
        defaults: { username, password, socket },
      }),
      sink,
    );
  return {
    ...session,
    destroy() {
      try {
        session.destroy();
      } catch {
        // The signal ends the rest.
      }
      gone.abort();
    },
  };
}

function single(
  client: ReturnType<typeof createClient>,
  { lost }: SessionSink,
): Session {
  client.on("error", lost);
  client.on("end", () => lost(new Error("The connection to Redis has ended")));
  return {
    connect: async () => void await client.connect(),
    publish: (channel, payload) => client.publish(channel, asBuffer(payload)),
    subscribe: (channel, listener) => client.subscribe(channel, listener, true),
    unsubscribe: (channel) => client.unsubscribe(channel),
    ping: async () => await client.ping(),
    close: async () => void await client.close(),
    destroy: () => client.destroy(),
  };
}

function cluster(
  nodes: ReturnType<typeof createCluster>,
  { trouble, lost }: SessionSink,
): Session {
  nodes.on("error", trouble);
  nodes.on("node-error", lost);
  nodes.on("node-disconnect", () => lost(new Error("The connection to a Redis node has ended")));
  nodes.on("sharded-channel-moved-error", lost);
  return {
    connect: async () => void await nodes.connect(),
    publish: (channel, payload) => nodes.sPublish(channel, asBuffer(payload)),
    subscribe: (channel, listener) => nodes.sSubscribe(channel, listener, true),
    unsubscribe: async (channel) => void await nodes.sUnsubscribe(channel),
    // Subscriptions have connections of their own.
    ping: async () =>
      await Promise.all(
        nodes.masters.flatMap(({ client, pubSub }) => [client?.ping(), pubSub?.client.ping()]),
      ),
    close: async () => void await nodes.close(),
    destroy: () => nodes.destroy(),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
