import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Broker, type BrokerGap, type BrokerLink, Context } from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { Notes } from "./_notes.ts";
import { Room, take } from "./_room.ts";
import { turn } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

// A broker is code of the application. Whatever its methods do, connections, context and listener continue.

type Way = (...args: unknown[]) => unknown;

const failure = new Error("of the broker");

/** Ways in which foreign code may misbehave. */
const WAYS: Record<string, Way> = {
  "throws": () => {
    throw failure;
  },
  "throws nothing at all": () => {
    throw undefined;
  },
  "rejects": () => Promise.reject(failure),
  "returns a thenable that rejects": () => ({
    then: (_: unknown, reject: (error: unknown) => void) => reject(failure),
  }),
  "returns a thenable that throws": () => ({
    then() {
      throw failure;
    },
  }),
  "returns an object with a property that throws": () => ({
    get then() {
      throw failure;
    },
  }),
  "never settles": () => new Promise(() => {}),
  "returns nothing": () => undefined,
  "returns a number": () => 1,
};

const METHODS = ["start", "subscribe", "unsubscribe", "publish", "close"] as const;

/** A broker that works, except for the given methods. */
function broker(ways: Partial<Record<typeof METHODS[number], Way>>): Broker {
  const fine = () => Promise.resolve();
  return {
    start: fine,
    subscribe: fine,
    unsubscribe: () => {},
    publish: fine,
    close: fine,
    ...ways,
  } as Broker;
}

for (const method of METHODS) {
  for (const [name, way] of Object.entries(WAYS)) {
    Deno.test(`a broker whose ${method} ${name} doesn't affect connections`, async () => {
      const errors: unknown[] = [];
      const server = new Context({
        broker: broker({ [method]: way }),
        onBrokerError: (error) => errors.push(error),
      });
      const room = new Room({}, server);
      const client = await room.join(), other = await room.join();
      const [member] = room.members;
      member.subscribe("x");
      room.members[1].subscribe("x");
      member.subscribe("y");
      member.unsubscribe("y");
      // Some turns, so that promises have settled.
      for (let i = 0; i < 3; i++) await turn();
      const refused = method === "start" && !/settles|nothing$|number/.test(name);
      if (refused) {
        // By contract, a broker that has failed to start refuses every publication.
        let thrown: unknown = null;
        try {
          server.publish("x", "1");
        } catch (error) {
          thrown = error;
        }
        assert(thrown !== null);
        await assertEquals(await server.ready.then(() => "ready", () => "refused"), "refused");
        server.broadcast("1");
      } else {
        const { sent, relayed } = server.publish("x", "1");
        assertEquals(sent, 2);
        const settled = relayed.then(() => "relayed", () => "failed");
        const expected = method !== "publish" || /nothing$|number/.test(name)
          ? "relayed"
          : /settles/.test(name)
          ? null
          : "failed";
        if (expected !== null) assertEquals(await settled, expected);
      }
      assertEquals([await take(client, 1), await take(other, 1)], [["1"], ["1"]]);
      await room.clients.shutdown({ timeout: 1000 });
      const start = performance.now();
      await server.shutdown({ timeout: 200 });
      // It must end before the default timeout of 10 s.
      assert(performance.now() - start < 8000);
      // No caller waits for ever.
      await server.ready.then(() => {}, () => {});
      const told = /throws|rejects/.test(name);
      assertEquals(errors.length > 0, told && method !== "publish", String(errors));
    });
  }
}

Deno.test("a broker that calls back at any time with invalid arguments doesn't affect connections", async () => {
  const errors = new Notes<unknown>(), gaps: BrokerGap[] = [];
  let link!: BrokerLink;
  const rubbish = () => {
    const anything = link as unknown as Record<string, (...args: unknown[]) => void>;
    for (const value of [null, undefined, 1, "x", {}, { payload: "x", text: true, slow: "drop" }]) {
      anything.deliver("x", value);
    }
    anything.deliver("x", { payload: new Uint8Array([255]), text: true, slow: "queue" });
    anything.deliver("x", { payload: new Uint8Array(1), text: false, slow: "later" });
    for (const topic of [null, undefined, 1, {}, ""]) {
      anything.deliver(topic, { payload: new Uint8Array(1), text: false, slow: "queue" });
    }
  };
  const server: Context = new Context({
    broker: broker({
      start(given) {
        link = given as BrokerLink;
        rubbish();
        link.error(failure);
      },
      subscribe(topic) {
        rubbish();
        // Unsubscribes the connection that is subscribing.
        if (topic === "y") room.members[0].unsubscribe("y");
      },
      publish(topic) {
        rubbish();
        if (topic === "loop") server.publish("loop", "again");
      },
      close() {
        rubbish();
        link.gap({ since: 0, until: 1, topics: [], unsent: 0, cause: failure });
        link.error(failure);
      },
    }),
    onBrokerGap: (gap) => gaps.push(gap),
    onBrokerError: (error) => errors.add(error),
  });
  const room = new Room({}, server);
  const client = await room.join();
  const [member] = room.members;
  assertEquals(member.subscribe("x"), true);
  assertEquals(member.subscribe("y"), true);
  assertEquals(member.unsubscribe("y"), false);
  await server.ready;
  assertEquals(server.publish("x", "1").sent, 1);
  assertEquals(server.publish("y", "2").sent, 0);
  // A broker that calls itself without end exhausts the stack, and the caller gets the error.
  const { sent, relayed } = server.publish("loop", "3");
  assertEquals(sent, 0);
  await mayFail(relayed, "depending on where the stack ends");
  link.deliver("x", { payload: new Uint8Array([52]), text: true, slow: "queue" });
  assertEquals(await take(client, 2), ["1", "4"]);
  const told = errors.all.length;
  assert(told > 8);
  await room[Symbol.asyncDispose]();
  // After the end nothing is reported or delivered.
  rubbish();
  link.deliver("x", { payload: new Uint8Array([53]), text: true, slow: "queue" });
  assertEquals([errors.all.length, gaps.length], [told, 0]);
});

Deno.test("callbacks that throw or reject, and broker errors without a callback, don't affect connections", async () => {
  using errors = new ConsoleErrors();
  for (const way of Object.values(WAYS)) {
    let link!: BrokerLink;
    const ctx = new Context({
      broker: broker({ start: (given) => void (link = given as BrokerLink) }),
      onBrokerGap: way as () => void,
      onBrokerError: way as () => void,
    });
    link.error(failure);
    link.gap({ since: 0, until: 1, topics: [], unsent: 0, cause: failure });
    await ctx.shutdown();
  }
  // Six of the ways fail, each of them twice.
  assertEquals(errors.calls.length, 12);
  assert(
    errors.calls.every(([text]) => /^An onBroker(Gap|Error) callback failed:$/.test(String(text))),
  );
});

Deno.test("a broker's failure to start is reported once, and ready rejects with it", async () => {
  for (const ask of [false, true]) {
    const errors: unknown[] = [];
    const ctx = new Context({
      broker: broker({ start: () => Promise.reject(failure) }),
      onBrokerError: (error) => errors.push(error),
    });
    if (ask) await assertRejects(() => ctx.ready, Error, "of the broker");
    else await turn();
    assertEquals(errors, ask ? [] : [failure]);
    await ctx.shutdown();
  }
});

Deno.test("an object that isn't a broker is refused at once", () => {
  for (const bad of [null, 1, "x", {}, { ...broker({}), close: 1 }]) {
    assertThrows(
      () => new Context({ broker: bad as unknown as Broker }),
      TypeError,
      "use an object with the method ",
    );
  }
});
