import { group, limit, refusal, timeLimit } from "../../util/check.ts";

/**
 * Keepalive of the connection to Redis, which finds one that is dead without having been closed.
 *
 * @see {@linkcode RedisBroker}
 */
export interface RedisKeepAliveOptions {
  /**
   * The pause between an answered ping and the next, in ms; 0 for no pings.
   *
   * @default {3000}
   */
  interval?: number;
  /**
   * How long Redis may be silent after a ping, in ms; 0 for ever.
   *
   * @default {5000}
   */
  timeout?: number;
}

/**
 * Options of a `RedisBroker`.
 *
 * @see {@linkcode RedisBroker}
 */
export interface RedisBrokerOptions {
  /**
   * The URL of a single Redis: `redis://host:port`, or `rediss://…` for TLS.
   *
   * @default {"redis://127.0.0.1:6379"}
   */
  url?: string;
  /**
   * The URLs of some nodes of a cluster, instead of `url`; the others are found through them. Publications then use sharded
   * pub/sub (Redis 7 or later), which loads only the node that a topic belongs to.
   */
  cluster?: readonly string[];
  /** The name of an ACL user. */
  username?: string;
  /** The password. */
  password?: string;
  /**
   * The prefix of all channels, so that programs can share a Redis.
   *
   * @default {"sluice:"}
   */
  prefix?: string;
  /**
   * The most bytes of publications that wait for Redis, connected or not; 0 for no limit.
   *
   * @default {4194304}
   */
  maxPendingBytes?: number;
  /**
   * Pings Redis, so that a dead connection is noticed within seconds, for example after a power failure, or if a NAT has
   * dropped it. With `false` it is noticed only when the kernel gives up sending, after many minutes.
   *
   * @default {{ interval: 3000, timeout: 5000 }}
   */
  keepAlive?: RedisKeepAliveOptions | false;
}

/** The checked options, with defaults. */
export interface RedisBrokerSettings {
  /** One address, or those of a cluster's nodes. */
  readonly url: string | readonly string[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly prefix: string;
  readonly maxPendingBytes: number;
  readonly interval: number;
  readonly timeout: number;
}

const ACTION = "make a Redis broker";

/**
 * Checks options and fills in their defaults.
 *
 * @throws {TypeError | RangeError} If an option is invalid.
 */
export function redisSettings(options: RedisBrokerOptions): RedisBrokerSettings {
  group(ACTION, "options", options, "an object");
  const { url, cluster, username, password, prefix = "sluice:", keepAlive = {} } = options;
  if (cluster !== undefined && url !== undefined) {
    throw new TypeError(`Cannot ${ACTION} with both url and cluster: give one of them`);
  }
  if (cluster !== undefined && !(Array.isArray(cluster) && cluster.length > 0)) {
    const allowed = "a list of URLs of its nodes";
    // A URL isn't shown, since it may contain a password.
    if (typeof cluster === "string") {
      throw new TypeError(`Cannot ${ACTION} with cluster that is a string: use ${allowed}`);
    }
    throw refusal(`${ACTION} with cluster`, cluster, allowed);
  }
  for (const [name, value] of Object.entries({ username, password, prefix })) {
    if (value !== undefined && typeof value !== "string") {
      throw refusal(`${ACTION} with ${name}`, value, "a string");
    }
  }
  if (keepAlive !== false) group(ACTION, "keepAlive", keepAlive, "{ interval, timeout } or false");
  const { interval, timeout } = keepAlive === false ? { interval: 0, timeout: 0 } : keepAlive;
  return {
    url: cluster === undefined ? checkUrl(url ?? "redis://127.0.0.1:6379") : cluster.map(checkUrl),
    username,
    password,
    prefix,
    maxPendingBytes: limit(ACTION, "maxPendingBytes", options.maxPendingBytes, 4 * 1024 * 1024),
    interval: timeLimit(ACTION, "keepAlive.interval", interval, 3000),
    timeout: timeLimit(ACTION, "keepAlive.timeout", timeout, 5000),
  };
}

/** Checks a URL. Errors don't show it, since it may contain a password. */
function checkUrl(url: unknown): string {
  if (typeof url !== "string") {
    throw refusal(`${ACTION} with url`, url, "a string, redis://host:port");
  }
  const parsed = URL.parse(url);
  if (parsed === null) throw new TypeError(`Cannot ${ACTION} with a URL that is not valid`);
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") {
    throw new TypeError(
      `Cannot ${ACTION} with a URL of scheme ${
        parsed.protocol.slice(0, -1)
      }: use redis: or rediss:`,
    );
  }
  return url;
}
