import { assert, assertEquals } from "@std/assert";
import { type BrokerGap, Context } from "../../mod.ts";
import { RedisBroker } from "../../redis.ts";
import { Cluster } from "./_cluster.ts";
import { Notes } from "./_notes.ts";
import { redisTest } from "./_redis.ts";
import { Room, take } from "./_room.ts";

redisTest(
  "a cluster delivers publications in all shards, also after a master was killed or has stopped answering",
  async () => {
    await using cluster = await Cluster.start();
    const gaps = new Notes<BrokerGap>();
    const context = () =>
      new Context({
        broker: new RedisBroker({
          cluster: cluster.urls,
          keepAlive: { interval: 200, timeout: 1000 },
        }),
        onBrokerGap: (gap) => gaps.add(gap),
        onBrokerError: () => {},
      });
    await using a = new Room({}, context());
    await using b = new Room({}, context());
    const far = await b.join();
    // Enough topics for every shard.
    const topics = Array.from({ length: 30 }, (_, i) => `topic ${i}`);
    for (const topic of topics) b.members[0].subscribe(topic);
    await Promise.all([a.server.ready, b.server.ready]);
    const round = async (n: number) => {
      for (const topic of topics) a.server.publish(topic, `${topic}: ${n}`);
      const received = await take(far, topics.length);
      assertEquals(received.sort(), topics.map((topic) => `${topic}: ${n}`).sort());
    };
    await round(1);
    await round(2);
    const victim = await cluster.masterOf("sluice:topic 0");
    await victim.kill();
    await gaps.count(2);
    await Promise.all([a.server.ready, b.server.ready]);
    await round(3);
    await victim.restart();
    await cluster.whole();
    // Now a master that doesn't answer, although its connections are open.
    const before = gaps.all.length;
    const frozen = await cluster.masterOf("sluice:topic 0");
    frozen.freeze();
    await gaps.count(before + 2);
    await Promise.all([a.server.ready, b.server.ready]);
    await round(4);
    frozen.thaw();
    for (const gap of gaps.all) {
      assert(gap.since < gap.until);
      assert(gap.topics.length === 0 || gap.topics.length === topics.length);
    }
  },
);
