import { assert, assertEquals, assertThrows } from "@std/assert";
import { Context } from "../../mod.ts";
import { type Member, MemberList } from "../../src/util/member_list.ts";
import { pair } from "../support/pair.ts";
import { turn } from "../support/until.ts";

interface Numbered extends Member {
  number: number;
}

function member(number: number): Numbered {
  return { number, slot: -1 };
}

const numbers = (list: MemberList<Numbered>) => [...list].map(({ number }) => number);

Deno.test("a list has the members of a set in the same order while members are added and removed", () => {
  const list = new MemberList<Numbered>(), set = new Set<Numbered>();
  let seed = 7, next = 0;
  const random = (below: number) => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % below;
  };
  const all: Numbered[] = [];
  for (let step = 0; step < 5000; step++) {
    // The list grows and shrinks in turn, until it is empty.
    if (all.length === 0 || random(10) < (step % 1000 < 500 ? 7 : 3)) {
      const one = member(next++);
      all.push(one);
      list.add(one);
      set.add(one);
    } else {
      const [one] = all.splice(random(all.length), 1);
      assert(list.delete(one) && set.delete(one));
      assert(!list.delete(one));
    }
    assertEquals(list.size, set.size);
    const bound = random(next);
    const wanted = ({ number }: Numbered) => number >= bound;
    assert(list.find(wanted) === [...set].find(wanted));
    if (step % 10 === 0) assertEquals(numbers(list), [...set].map(({ number }) => number));
  }
});

Deno.test("an iteration skips members that leave in the meantime", () => {
  const list = new MemberList<Numbered>();
  const all = Array.from({ length: 10 }, (_, number) => member(number));
  for (const one of all) list.add(one);
  const seen: number[] = [];
  for (const { number } of list) {
    seen.push(number);
    for (const leaver of [number, number + 1]) list.delete(all[leaver]);
    // New members may fill the gaps.
    list.add(member(100 + number));
    list.add(member(200 + number));
  }
  assertEquals(seen, [0, 2, 4, 6, 8]);
});

Deno.test("a member of one list isn't a member of another", () => {
  const list = new MemberList<Numbered>(), other = new MemberList<Numbered>();
  const one = member(1);
  list.add(one);
  other.add(member(2));
  assert(!other.delete(one));
  assertEquals([list.size, other.size], [1, 1]);
});

Deno.test("connections is a live set of a context and of a listener, also if it was read before they were made", async () => {
  await using ctx = new Context();
  const early = ctx.connections;
  const first = ctx.listen({ port: 0 }), second = ctx.listen({ port: 0 });
  const clients = [ctx.connect(first.url), ctx.connect(second.url), ctx.connect(second.url)];
  await Promise.all(clients.map(({ opened }) => opened));
  const servers = [...first.connections, ...second.connections];
  assertEquals([first.connections.size, second.connections.size], [1, 2]);
  assertEquals(early, new Set([...clients, ...servers]));
  assert(early === ctx.connections);
  const { openConnections, connections } = ctx.stats();
  assertEquals([openConnections, connections], [6, 6]);
  const [gone] = first.connections;
  gone.close();
  await Promise.all([gone.closed, clients[0].closed]);
  assertEquals([early.size, first.connections.size, early.has(gone)], [4, 0, false]);
  await first.shutdown();
  assertEquals([ctx.stats().openConnections, ctx.stats().connections], [4, 6]);
  await second.shutdown();
  await Promise.all(clients.map(({ closed }) => closed));
  assertEquals([early.size, ctx.stats().openConnections, ctx.stats().connections], [0, 0, 6]);
});

Deno.test("a listener that ends in several steps is removed once, and one that can't listen leaves nothing", async () => {
  const reported = Promise.withResolvers<void>();
  await using ctx = new Context();
  const first = ctx.listen({
    port: 0,
    hostname: "127.0.0.1",
    // Pending until both handshakes have ended.
    onHandshakeError: () => reported.promise,
  });
  const second = ctx.listen({ port: 0, hostname: "127.0.0.1" });
  assertThrows(
    () => ctx.listen({ port: second.port, hostname: "127.0.0.1" }),
    Deno.errors.AddrInUse,
  );
  const halfOpen = await Promise.all(
    Array.from({ length: 3 }, () => Deno.connect({ hostname: "127.0.0.1", port: first.port })),
  );
  for (const conn of halfOpen) await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  const client = ctx.connect(second.url);
  await client.opened;
  await first.shutdown();
  for (const conn of halfOpen) conn.close();
  await first.finished;
  reported.resolve();
  await turn();
  assertEquals([ctx.connections.size, ctx.stats().openConnections], [2, 2]);
  assertEquals(ctx.broadcast("x").sent, 1);
});

Deno.test("a broadcast reaches each member once, whether it is to all, to a list or to a set", async () => {
  await using both = await pair();
  const { server, client, ctx } = both;
  for (const to of [[server, server], new Set([server]), ctx.connections, undefined]) {
    assertEquals(ctx.broadcast("x", { to }).sent, 1);
  }
  for (let i = 0; i < 4; i++) assertEquals(await client.receive(), "x");
});
