import { Buffer } from "node:buffer";
import { createClient, createCluster } from "redis";
import type { RedisBrokerOptions } from "./redis_options.ts";

/** One connection to Redis, or to the nodes of a cluster, from its start to its end: it doesn't reconnect. */
export interface Session {
  connect(): Promise<void>;
  publish(channel: string, payload: Uint8Array): Promise<unknown>;
  subscribe(channel: string, listener: (payload: Uint8Array) => void): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  /** Ends after what was asked for is done. */
  close(): Promise<void>;
  /** Ends now. */
  destroy(): void;
}

// The client's own reconnecting keeps commands without bound and says nothing of what was missed meanwhile.
const SOCKET = { reconnectStrategy: false as const, connectTimeout: 5000 };

/** Makes a session; `onLost` is called once when it has failed, before or after it was connected. */
export function makeSession(
  options: RedisBrokerOptions,
  onLost: (error: unknown) => void,
): Session {
  return options.cluster === undefined ? single(options, onLost) : cluster(options, onLost);
}

function single(options: RedisBrokerOptions, onLost: (error: unknown) => void): Session {
  const { url, username, password } = options;
  const client = createClient({ url, username, password, socket: SOCKET });
  client.on("error", onLost);
  client.on("end", () => onLost(new Error("The connection to Redis has ended")));
  return {
    connect: async () => void await client.connect(),
    publish: (channel, payload) => client.publish(channel, asBuffer(payload)),
    subscribe: (channel, listener) => client.subscribe(channel, listener, true),
    unsubscribe: (channel) => client.unsubscribe(channel),
    close: async () => void await client.close(),
    destroy: () => client.destroy(),
  };
}

function cluster(options: RedisBrokerOptions, onLost: (error: unknown) => void): Session {
  const { username, password } = options;
  const nodes = createCluster({
    rootNodes: options.cluster!.map((url) => ({ url })),
    defaults: { username, password, socket: SOCKET },
  });
  nodes.on("error", onLost);
  nodes.on("node-error", onLost);
  nodes.on("node-disconnect", () => onLost(new Error("The connection to a Redis node has ended")));
  nodes.on("sharded-channel-moved-error", onLost);
  return {
    connect: async () => void await nodes.connect(),
    publish: (channel, payload) => nodes.sPublish(channel, asBuffer(payload)),
    subscribe: (channel, listener) => nodes.sSubscribe(channel, listener, true),
    unsubscribe: async (channel) => void await nodes.sUnsubscribe(channel),
    close: async () => void await nodes.close(),
    destroy: () => nodes.destroy(),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
