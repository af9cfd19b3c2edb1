import type { Engine } from "../engine/engine.ts";
import { frameForMany, type Sendable } from "../engine/prepared_message.ts";
import { SharedFrame } from "../flow/shared_frame.ts";
import { BINARY, TEXT } from "../protocol/opcode.ts";
import { isUtf8 } from "../protocol/utf8.ts";
import { offer } from "./broadcast.ts";
import type { BrokerMessage } from "./broker/broker.ts";
import type { BrokerClient } from "./broker/broker_client.ts";
import {
  type BroadcastResult,
  type EngineOf,
  exceptions,
  noResult,
  type PublishOptionsOf,
  type PublishResult,
  type SlowPolicy,
  slowPolicy,
} from "./options.ts";

/** The longest name of a topic, in bytes of UTF-8. */
export const MAX_TOPIC_BYTES = 256;

const RELAYED = Promise.resolve();

/** Who of a context's connections has subscribed to what. */
export class Topics {
  /** What connects this context with others; `null` where it is alone. */
  broker: BrokerClient | null = null;
  readonly #members = new Map<string, Set<Engine>>();

  /** Makes a connection a member; whether it wasn't. */
  subscribe(engine: Engine, topic: string): boolean {
    checkTopic("subscribe to", topic);
    if (engine.state !== "open") throw engine.closedError("subscribe");
    const topics = engine.topics ??= new Set();
    if (topics.has(topic)) return false;
    topics.add(topic);
    const members = this.#members.get(topic);
    if (members !== undefined) {
      members.add(engine);
    } else {
      this.#members.set(topic, new Set([engine]));
      this.broker?.subscribe(topic);
    }
    return true;
  }

  /** Ends a membership; whether there was one. */
  unsubscribe(engine: Engine, topic: string): boolean {
    checkTopic("unsubscribe from", topic);
    if (engine.topics === null || !engine.topics.delete(topic)) return false;
    if (engine.topics.size === 0) engine.topics = null;
    this.#remove(engine, topic);
    return true;
  }

  /** Ends all memberships of a connection. */
  leave(engine: Engine): void {
    const { topics } = engine;
    if (topics === null) return;
    engine.topics = null;
    for (const topic of topics) this.#remove(engine, topic);
  }

  /**
   * Publishes to all members. They are queued for at once, so who unsubscribes afterwards still gets it, and the order
   * is the order of the calls.
   *
   * @param publisher The connection that publishes and doesn't get it, or `null`.
   */
  publish<Face>(
    topic: string,
    data: Sendable,
    options: PublishOptionsOf<Face>,
    publisher: Engine | null,
    engineOf: EngineOf<Face>,
  ): PublishResult {
    checkTopic("publish to", topic);
    const slow = slowPolicy("publish", options.slow);
    const except = exceptions("publish", options.except, engineOf);
    const frame = frameForMany(data);
    const relayed = this.broker === null
      ? RELAYED
      : this.broker.publish(topic, { text: frame.opcode === TEXT, payload: frame.payload(), slow });
    const result = noResult();
    this.#deliver(topic, frame, except, publisher, slow, result);
    return { ...result, relayed };
  }

  /** Delivers what another context has published. */
  received(topic: string, { text, payload, slow }: BrokerMessage): void {
    // The last one may have unsubscribed while it was on its way.
    if (!this.#members.has(topic)) return;
    if (text && !isUtf8(payload)) throw new TypeError("A text publication is not UTF-8");
    const frame = SharedFrame.inSlab(text ? TEXT : BINARY, payload);
    this.#deliver(topic, frame, null, null, slow, noResult());
  }

  #deliver(
    topic: string,
    frame: SharedFrame,
    except: Set<Engine> | null,
    publisher: Engine | null,
    slow: SlowPolicy,
    result: BroadcastResult,
  ): void {
    const members = this.#members.get(topic);
    if (members === undefined) return;
    for (const engine of members) {
      if (engine === publisher || (except !== null && except.has(engine))) continue;
      offer(engine, frame, slow, result);
    }
  }

  #remove(engine: Engine, topic: string): void {
    const members = this.#members.get(topic)!;
    members.delete(engine);
    if (members.size > 0) return;
    this.#members.delete(topic);
    this.broker?.unsubscribe(topic);
  }
}

function checkTopic(action: string, topic: unknown): asserts topic is string {
  if (typeof topic !== "string") {
    throw new TypeError(`Cannot ${action} a topic that is not a string: received ${typeof topic}`);
  }
  if (topic === "") throw new RangeError(`Cannot ${action} a topic without a name`);
  // No character takes more than three bytes, so most names need not be encoded to be measured.
  if (
    topic.length > MAX_TOPIC_BYTES / 3 && new TextEncoder().encode(topic).length > MAX_TOPIC_BYTES
  ) {
    throw new RangeError(
      `Cannot ${action} a topic whose name is longer than ${MAX_TOPIC_BYTES} bytes`,
    );
  }
  // Two such names could be the same to a broker.
  if (!topic.isWellFormed()) {
    throw new TypeError(`Cannot ${action} a topic whose name has a lone surrogate`);
  }
}
