/** Types that users rely on: the tests are that this compiles, and what must not compile doesn't. */
import { type Connection, Context, type Listener, type ReceivedMessage } from "../../mod.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

function is<_Holds extends true>(): void {}

interface User {
  name: string;
}

Deno.test("Context<Data> types conn.data wherever a connection comes from", async () => {
  await using ctx = new Context<User>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onHandshake: () => ({ data: { name: "Ann" } }),
    onConnect(conn) {
      is<Same<typeof conn.data, User>>();
      is<Same<typeof conn, Connection<User>>>();
    },
    onMessage(conn, data) {
      is<Same<typeof conn.data.name, string>>();
      is<Same<typeof data, ReceivedMessage>>();
    },
    onClose: (conn, close) => {
      is<Same<typeof conn.data, User>>();
      is<Same<typeof close.code, number>>();
    },
  });
  is<Same<typeof listener, Listener<User>>>();
  is<Same<typeof ctx.connections, ReadonlySet<Connection<User>>>>();
  const conn = ctx.connect(listener.url, { data: { name: "Bob" } });
  is<Same<typeof conn.data, User>>();
  await conn.opened;
  conn.data = { name: "Eve" };
  // @ts-expect-error -- data are of the context's type
  conn.data = { name: 5 };
  conn.on({ onDrain: (conn) => is<Same<typeof conn.data, User>>() });
  ctx.broadcast("x", { except: conn });
});

Deno.test("what makes no sense doesn't compile", () => {
  const tries = (ctx: Context<User>, conn: Connection<User>) => {
    // @ts-expect-error -- data of another type
    ctx.connect("ws://a", { data: 5 });
    // @ts-expect-error -- data of another type
    ctx.listen({ onHandshake: () => ({ data: { nom: "Ann" } }) });
    // @ts-expect-error -- no such policy
    ctx.listen({ whenQueueFull: "wait" });
    // @ts-expect-error -- a number is no message
    conn.send(5);
    // @ts-expect-error -- a Blob can't be sent at once; use sendStream(blob.stream())
    conn.send(new Blob());
    // @ts-expect-error -- facts are read-only
    conn.state = "open";
  };
  is<Same<typeof tries, (ctx: Context<User>, conn: Connection<User>) => void>>();
});

Deno.test("messages are strings or bytes, however they are taken", () => {
  const take = async (conn: Connection) => {
    is<Same<typeof conn.data, unknown>>();
    const one = await conn.receive();
    is<Same<typeof one, string | Uint8Array>>();
    for await (const message of conn) is<Same<typeof message, string | Uint8Array>>();
    const more: boolean = conn.send("x");
    const roundTrip: number = await conn.ping();
    return [more, roundTrip];
  };
  is<Same<ReturnType<typeof take>, Promise<(number | boolean)[]>>>();
});
