import type { Engine } from "../engine/engine.ts";
import type { Face } from "../engine/handlers.ts";
import { frameForMany, type Sendable } from "../engine/prepared_message.ts";
import { SharedFrame } from "../flow/shared_frame.ts";
import { BINARY, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8, isUtf8 } from "../protocol/utf8.ts";
import { offer } from "./broadcast.ts";
import type { BrokerMessage } from "./broker/broker.ts";
import type { BrokerClient } from "./broker/broker_client.ts";
import { type Membership, Topic } from "./membership.ts";
import {
  type BroadcastResult,
  type EngineOf,
  exceptions,
  type LiveSet,
  noResult,
  type PublishOptionsOf,
  type PublishResult,
  type SlowPolicy,
  slowPolicy,
} from "./options.ts";

/** The longest name of a topic, in bytes of UTF-8. */
const MAX_TOPIC_BYTES = 256;

const RELAYED = Promise.resolve();

/** The options of a listener or a context for subscriptions. */
export interface SubscriptionRules {
  /** The most topics of a connection. */
  readonly maxTopics: number;
  /** Called when the number of a topic's subscribers has changed. */
  readonly onSubscription:
    | ((conn: Face, topic: string, count: number, previous: number) => unknown)
    | undefined;
}

/** The default limit of a connection's topics. */
export const MAX_TOPICS = 1000;

/** The subscriptions of a context's connections. */
export class Topics {
  /** Connects this context with others; `null` without a broker. */
  broker: BrokerClient | null = null;
  readonly #topics = new Map<string, Topic>();

  /** Makes a connection a member; returns whether it wasn't one before. */
  subscribe(engine: Engine, name: string, rules: SubscriptionRules): boolean {
    checkTopic("subscribe to", name);
    if (!engine.isOpen) throw engine.stateError("subscribe");
    const own = (engine.topics ??= new Map()) as Map<string, Membership>;
    if (own.has(name)) return false;
    const { maxTopics } = rules;
    if (own.size >= maxTopics) {
      throw new RangeError(`Cannot subscribe to more than ${maxTopics} topics: see maxTopics`);
    }
    let topic = this.#topics.get(name);
    const isNew = topic === undefined;
    if (topic === undefined) this.#topics.set(name, topic = new Topic());
    own.set(name, topic.add(engine));
    const count = topic.size;
    if (isNew) this.broker?.subscribe(name);
    notify(engine, rules, name, count, count - 1);
    return true;
  }

  /** Ends a membership; returns whether there was one. */
  unsubscribe(engine: Engine, name: string, rules: SubscriptionRules): boolean {
    checkTopic("unsubscribe from", name);
    const own = engine.topics as Map<string, Membership> | null;
    const member = own?.get(name);
    if (member === undefined || member.engine === null) return false;
    own!.delete(name);
    if (own!.size === 0) engine.topics = null;
    const count = this.#remove(name, member);
    notify(engine, rules, name, count, count + 1);
    return true;
  }

  /**
   * Ends all memberships of a connection, which keeps the names of the topics.
   *
   * @returns A function that calls `onSubscription` for each; `null` if there is nothing to call.
   */
  leave(engine: Engine, rules: SubscriptionRules): (() => void) | null {
    const own = engine.topics as Map<string, Membership> | null;
    if (own === null) return null;
    const counts = rules.onSubscription === undefined ? null : [] as [string, number][];
    for (const [name, member] of own) {
      const count = this.#remove(name, member);
      counts?.push([name, count]);
    }
    if (counts === null) return null;
    return () => {
      for (const [name, count] of counts) notify(engine, rules, name, count, count + 1);
    };
  }

  /** Returns a live view of the members of a topic, which needn't exist. */
  subscribers<Conn>(name: string, engineOf: EngineOf<Conn>): LiveSet<Conn> {
    checkTopic("ask for the subscribers of", name);
    const topics = this.#topics;
    const keys = function* () {
      for (const engine of topics.get(name)?.members() ?? []) yield engine.face as Conn;
    };
    return {
      get size() {
        return topics.get(name)?.size ?? 0;
      },
      has(face) {
        const topic = topics.get(name);
        if (topic === undefined) return false;
        const engine = engineIn(face, engineOf);
        const member = (engine?.topics as Map<string, Membership> | null | undefined)?.get(name);
        return member !== undefined && member.topic === topic && member.engine !== null;
      },
      keys,
      [Symbol.iterator]: keys,
    };
  }

  /**
   * Publishes to all members. The message is queued at once, so a connection that unsubscribes afterwards still gets it, and
   * messages arrive in the order of the calls.
   *
   * @param publisher The connection that publishes, which doesn't get the message; or `null`.
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

  /** Delivers a publication of another context. */
  received(topic: string, { text, payload, slow }: BrokerMessage): void {
    // The last member may have unsubscribed in the meantime.
    if (!this.#topics.has(topic)) return;
    if (text && !isUtf8(payload)) throw new TypeError("A text publication is not UTF-8");
    const frame = SharedFrame.inSlab(text ? TEXT : BINARY, payload);
    this.#deliver(topic, frame, null, null, slow, noResult());
  }

  #deliver(
    name: string,
    frame: SharedFrame,
    except: Set<Engine> | null,
    publisher: Engine | null,
    slow: SlowPolicy,
    result: BroadcastResult,
  ): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    const last = topic.begin();
    try {
      for (let member = topic.first; member !== null; member = member.next) {
        const { engine } = member;
        const left = engine === null || engine === publisher;
        if (!left && (except === null || !except.has(engine))) offer(engine, frame, slow, result);
        if (member === last) break;
      }
    } finally {
      topic.end();
    }
  }

  /** Removes a member; returns how many are left. */
  #remove(name: string, member: Membership): number {
    const { topic } = member;
    topic.remove(member);
    if (topic.size === 0) {
      this.#topics.delete(name);
      this.broker?.unsubscribe(name);
    }
    return topic.size;
  }
}

/** Returns a live view of the topics of a connection; after its end, those that it had then. */
export function topicsOf(engine: Engine): LiveSet<string> {
  const keys = () => engine.topics?.keys() ?? [].values();
  return {
    get size() {
      return engine.topics?.size ?? 0;
    },
    has: (topic) => engine.topics?.has(topic) ?? false,
    keys,
    [Symbol.iterator]: keys,
  };
}

/** Returns the engine of a connection; `null` for any other value. */
function engineIn<Conn>(conn: Conn, engineOf: EngineOf<Conn>): Engine | null {
  try {
    return engineOf(conn);
  } catch {
    return null;
  }
}

function notify(
  engine: Engine,
  { onSubscription }: SubscriptionRules,
  topic: string,
  count: number,
  previous: number,
): void {
  if (onSubscription === undefined) return;
  engine.call(() => onSubscription(engine.face, topic, count, previous));
}

function checkTopic(action: string, topic: unknown): asserts topic is string {
  if (typeof topic !== "string") {
    throw new TypeError(`Cannot ${action} a topic that is not a string: received ${typeof topic}`);
  }
  if (topic === "") throw new RangeError(`Cannot ${action} a topic without a name`);
  // A UTF-16 code unit takes at most three bytes, so most names needn't be encoded to be measured.
  if (
    topic.length > MAX_TOPIC_BYTES / 3 && encodeUtf8(topic).length > MAX_TOPIC_BYTES
  ) {
    throw new RangeError(
      `Cannot ${action} a topic whose name is longer than ${MAX_TOPIC_BYTES} bytes`,
    );
  }
  // Encoded for a broker, two such names could be the same.
  if (!topic.isWellFormed()) {
    throw new TypeError(`Cannot ${action} a topic whose name has a lone surrogate`);
  }
}
