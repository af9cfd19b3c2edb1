/** How to reach Redis. */
export interface RedisBrokerOptions {
  /** A single Redis, `redis://host:port` or `rediss://…` for TLS. @default {"redis://127.0.0.1:6379"} */
  url?: string;
  /**
   * Some nodes of a cluster, instead of `url`: the others are found through them. Publications then go by sharded
   * pub/sub (Redis 7 or later), which loads only the node that a topic belongs to.
   */
  cluster?: readonly string[];
  /** The name of an ACL user. */
  username?: string;
  /** The password. */
  password?: string;
  /** What channels begin with, so that programs can share a Redis. @default {"sluice:"} */
  prefix?: string;
  /** The most bytes of publications that wait for Redis, there or away; more are refused. @default {4194304} */
  maxPendingBytes?: number;
}
