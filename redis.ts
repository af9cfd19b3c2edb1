/**
 * Topics across many machines, through Redis and its official client.
 *
 * @example
 * ```ts no-eval
 * import { Context } from "@sluice/websocket";
 * import { RedisBroker } from "@sluice/websocket/redis";
 *
 * await using ctx = new Context({ broker: new RedisBroker({ url: "redis://127.0.0.1:6379" }) });
 * await ctx.ready;
 * ctx.publish("prices.eur", "1.08");
 * ```
 *
 * @module
 */
export { RedisBroker } from "./src/pubsub/broker/redis_broker.ts";
export type {
  RedisBrokerOptions,
  RedisKeepAliveOptions,
} from "./src/pubsub/broker/redis_options.ts";
export {
  type Broker,
  BrokerError,
  type BrokerGap,
  type BrokerLink,
  type BrokerMessage,
} from "./src/pubsub/broker/broker.ts";
export type { SlowPolicy } from "./src/pubsub/options.ts";
