/** The types that users rely on. The tests are that valid code compiles, and that invalid code doesn't. */
import {
  type AdoptSource,
  type Connection,
  Context,
  type HandshakeDecision,
  type Listener,
  type ReceivedMessage,
  type UpgradeResult,
} from "../../mod.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

function is<_Holds extends true>(): void {}

interface User {
  name: string;
}

Deno.test("Context<Data> types conn.data of every kind of connection", async () => {
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
  // @ts-expect-error -- conn.data has the context's type
  conn.data = { name: 5 };
  conn.on({ onDrain: (conn) => is<Same<typeof conn.data, User>>() });
  ctx.broadcast("x", { except: conn });
});

Deno.test("invalid arguments don't compile", () => {
  const tries = (ctx: Context<User>, conn: Connection<User>) => {
    // @ts-expect-error -- data of another type
    ctx.connect("ws://a", { data: 5 });
    // @ts-expect-error -- data of another type
    ctx.listen({ onHandshake: () => ({ data: { nom: "Ann" } }) });
    // @ts-expect-error -- an unknown policy
    ctx.listen({ whenQueueFull: "wait" });
    // @ts-expect-error -- a message can't be a number
    conn.send(5);
    // @ts-expect-error -- a Blob's bytes aren't available at once; use sendStream(blob.stream())
    conn.send(new Blob());
    // @ts-expect-error -- the property is read-only
    conn.state = "open";
  };
  is<Same<typeof tries, (ctx: Context<User>, conn: Connection<User>) => void>>();
});

Deno.test("messages are strings or bytes in every way of receiving", () => {
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

/** Takes functions that are compiled and never run. */
function compiled(_use: (...args: never[]) => unknown): void {}

Deno.test("fault 57: a Context<User> requires data for every kind of connection", () => {
  const data: User = { name: "Ann" };
  compiled(async (ctx: Context<User>, source: AdoptSource, request: Request) => {
    // @ts-expect-error -- conn.data would be undefined
    ctx.connect("ws://a");
    // @ts-expect-error -- likewise
    ctx.connect("ws://a", {});
    // @ts-expect-error -- likewise
    ctx.connect("ws://a", { data: undefined });
    // @ts-expect-error -- likewise
    ctx.reconnect("ws://a", { backoff: { max: 1 } });
    // @ts-expect-error -- likewise
    ctx.listen();
    // @ts-expect-error -- likewise
    ctx.listen({ onMessage() {} });
    // @ts-expect-error -- likewise
    ctx.adopt(source);
    // @ts-expect-error -- without a handshake, onHandshake isn't called
    ctx.adopt(source, { handshake: false, onHandshake: () => ({ data }) });
    // @ts-expect-error -- a client doesn't decide about the handshake
    ctx.adopt(source, { role: "client", url: "ws://a", onHandshake: () => ({ data }) });
    // @ts-expect-error -- likewise
    ctx.upgrade(request, { protocols: "chat" });

    is<Same<ReturnType<typeof ctx.connect>, Connection<User>>>();
    const client = ctx.connect("ws://a", {
      data,
      onMessage: (conn) => is<Same<typeof conn.data, User>>(),
    });
    const adopted = ctx.adopt(source, { data, handshake: false });
    const decided = ctx.adopt(source, {
      onHandshake: (request) => ({ data: { name: request.url } }),
      onConnect: (conn) => is<Same<typeof conn.data, User>>(),
    });
    const upgraded = ctx.upgrade(request, { data });
    is<Same<typeof client, Connection<User>>>();
    is<Same<typeof adopted, Connection<User>>>();
    is<Same<typeof decided, Connection<User>>>();
    is<Same<typeof upgraded, UpgradeResult<Connection<User>>>>();
    for await (const conn of ctx.reconnect("ws://a", { data })) {
      is<Same<typeof conn, Connection<User>>>();
    }
  });
});

Deno.test("fault 57: without a default, onHandshake has to return data whenever it accepts", () => {
  compiled((ctx: Context<User>, data: User, listener: Listener<User>) => {
    // @ts-expect-error -- accepted without data
    ctx.listen({ onHandshake: () => true });
    // @ts-expect-error -- accepted without data
    ctx.listen({ onHandshake() {} });
    // @ts-expect-error -- accepted without data
    ctx.listen({ onHandshake: () => ({ protocol: "chat" }) });
    // @ts-expect-error -- accepted without data in one case
    ctx.listen({ onHandshake: (request) => request.url === "" ? { data } : true });
    // @ts-expect-error -- likewise, asynchronously
    ctx.listen({ onHandshake: (request) => Promise.resolve(request.url === "" ? { data } : true) });
    // @ts-expect-error -- accepted without data
    listener.on({ onHandshake: () => true });

    listener.on({
      onHandshake: () => ({ data }),
      onTick: (it) => is<Same<typeof it, Listener<User>>>(),
    });
    ctx.listen({ data });
    // The option provides data if the result of onHandshake doesn't.
    ctx.listen({ data, onHandshake: () => true, onMessage: (conn) => conn.data.name });
    ctx.listen({
      onHandshake: (request) => request.url === "" ? { data } : false,
      onMessage: (conn) => is<Same<typeof conn.data, User>>(),
    });
    const listening = ctx.listen({
      async onHandshake(request) {
        await Promise.resolve();
        return request.url === "" ? { data, headers: {} } : new Response(null, { status: 401 });
      },
      onTick: (it) => is<Same<typeof it, Listener<User>>>(),
      onMessage: (conn) => is<Same<typeof conn.data, User>>(),
    });
    is<Same<typeof listening, Listener<User>>>();
    const decide = (url: string): HandshakeDecision<User> => url === "" ? { data } : false;
    ctx.listen({ onHandshake: (request) => decide(request.url) });
  });
});

Deno.test("fault 57: data from the options of the context is enough", () => {
  const user: User = { name: "Ann" };
  const ctx = new Context({ data: user, onMessage: (conn) => is<Same<typeof conn.data, User>>() });
  is<Same<typeof ctx, Context<User, User>>>();
  compiled((source: AdoptSource, request: Request) => {
    const conn = ctx.connect("ws://a");
    is<Same<typeof conn, Connection<User>>>();
    const listener = ctx.listen({ onHandshake: () => true });
    is<Same<typeof listener, Listener<User>>>();
    ctx.listen();
    ctx.adopt(source, { onHandshake: () => true });
    ctx.upgrade(request);
    ctx.reconnect("ws://a");
    ctx.connect("ws://a", { data: { name: "Bob" } });
    // @ts-expect-error -- data of another type
    ctx.connect("ws://a", { data: 5 });
    // TypeScript infers either all type arguments or none, so the second one has to say that there is a default.
    new Context<User, User>({ data: user }).connect("ws://a");
    new Context<User>({ data: user }).connect("ws://a", { data: user });
    // @ts-expect-error -- the default is missing
    new Context<User, User>();
    // The type is still a Context<User>.
    const same: Context<User> = ctx;
    return same;
  });
});

Deno.test("fault 57: data that may be undefined is optional", () => {
  compiled((ctx: Context<User | undefined>, source: AdoptSource, request: Request) => {
    const conn = ctx.connect("ws://a");
    is<Same<typeof conn, Connection<User | undefined>>>();
    ctx.listen();
    ctx.listen({ onHandshake: () => true }).on({ onHandshake: () => true });
    ctx.listen({ onHandshake: () => ({ data: { name: "Ann" } }) });
    ctx.adopt(source);
    ctx.upgrade(request);
    // @ts-expect-error -- data may be undefined
    conn.data.name;
  });
});

Deno.test("fault 57: without a type argument, a listener infers it from the result of onHandshake", () => {
  compiled((ctx: Context) => {
    const users = ctx.listen({
      onHandshake: () => ({ data: { name: "Ann" } }),
      onMessage: (conn) => is<Same<typeof conn.data, { name: string }>>(),
    });
    is<Same<typeof users, Listener<{ name: string }>>>();
    ctx.listen({
      onHandshake(request) {
        if (request.url === "") return false;
        if (request.url === "a") return new Response(null, { status: 401 });
        return { data: { path: request.url } };
      },
      onConnect: (conn) => is<Same<typeof conn.data, { path: string }>>(),
      onTick: (listener) => is<Same<typeof listener, Listener<{ path: string }>>>(),
    });
    ctx.listen({
      onHandshake: async (request) => ({ data: await request.text() }),
      onConnect: (conn) => is<Same<typeof conn.data, string>>(),
    });
    // Without data in the result, the type is that of the option, or unknown.
    ctx.listen({
      onHandshake: (request) => request.url === "" ? { data: 5 } : true,
      onConnect: (conn) => is<Same<typeof conn.data, unknown>>(),
    });
    ctx.listen({
      data: "none",
      onHandshake: (request) => request.url === "" ? { data: 5 } : true,
      onConnect: (conn) => is<Same<typeof conn.data, string | number>>(),
    });
    const counting = ctx.listen({
      data: { n: 1 },
      // @ts-expect-error -- `n` is a number
      onConnect: (conn): string => conn.data.n,
    });
    is<Same<typeof counting, Listener<{ n: number }>>>();
    // Callbacks before onHandshake aren't typed by it, and its result has to match the option.
    ctx.listen({
      onConnect: (conn) => is<Same<typeof conn.data, unknown>>(),
      onHandshake: (request) => ({ data: request.url }),
    });
    ctx.listen({
      data: 5,
      onConnect: (conn) => is<Same<typeof conn.data, number>>(),
      // @ts-expect-error -- conn.data would be a string
      onHandshake: (request) => ({ data: request.url }),
    });
    // @ts-expect-error -- not a decision
    ctx.listen({ onHandshake: () => 5 });
    // The result is an ordinary listener.
    const listener: Listener = users;
    listener.on({ onHandshake: () => true });
    ctx.broadcast("x", { to: users.connections });
  });
});

Deno.test("fault 57: without a type argument, a call infers it from its data", () => {
  compiled((ctx: Context, source: AdoptSource, request: Request) => {
    const none = ctx.connect("ws://a");
    is<Same<typeof none, Connection<unknown>>>();
    const conn = ctx.connect("ws://a", {
      data: { id: 1 },
      onMessage: (conn) => is<Same<typeof conn.data, { id: number }>>(),
    });
    is<Same<typeof conn, Connection<{ id: number }>>>();
    const adopted = ctx.adopt(source, { data: "x", handshake: false });
    is<Same<typeof adopted, Connection<string>>>();
    const { connection } = ctx.upgrade(request, { data: new Date() });
    is<Same<typeof connection, Connection<Date>>>();
    const any: Connection = conn;
    return any;
  });
});

Deno.test("fault 57: a function that accepts any context accepts each", () => {
  const plain = (ctx: Context) =>
    ctx.listen({ hostname: "127.0.0.1", onMessage: (conn) => conn.data });
  const generic = <Data>(ctx: Context<Data>): ReadonlySet<Connection<Data>> => ctx.connections;
  compiled((typed: Context<User>, inferred: Context<User, User>, none: Context) => {
    for (const ctx of [typed, inferred, none]) plain(ctx);
    is<Same<ReturnType<typeof generic<User>>, ReadonlySet<Connection<User>>>>();
    return [generic(typed), generic(inferred), generic(none)];
  });
});
