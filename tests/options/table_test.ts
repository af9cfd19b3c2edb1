import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Connection, Context, WorkerHub } from "../../mod.ts";
import { RedisBroker } from "../../redis.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { options as documented } from "./_documented.ts";
import { upgradeRequest } from "../support/raw_peer.ts";

/**
 * The values that every option is given. The kind of the option, below, says which of them work. All others throw at once,
 * with an error of the right class.
 */
const VALUES: [shown: string, value: unknown][] = [
  ["0", 0],
  ["-1", -1],
  ["1.5", 1.5],
  ["2147483648", 2 ** 31],
  ["9007199254740992", 2 ** 53],
  ["Infinity", Infinity],
  ["NaN", NaN],
  ['"8080" (a string)', "8080"],
  ["null", null],
  ["{} (an object)", {}],
  ["[] (an array)", []],
  ["true (a boolean)", true],
];

/** The values that work. Other numbers are a RangeError if the option is a number; everything else is a TypeError. */
interface Kind {
  readonly works: readonly string[];
  readonly numeric: boolean;
}

const numbers = (...works: string[]): Kind => ({ works, numeric: true });
const others = (...works: string[]): Kind => ({ works, numeric: false });
const LARGE = ["2147483648", "9007199254740992", "Infinity"];

/** Bytes and counts, which are integers. For a limit, 0 means none; for an amount, 0 is 0. */
const LIMIT = numbers("0", ...LARGE), AMOUNT = LIMIT;
/** Milliseconds, which may be fractions. For a timeout or an interval, 0 means none; for a delay, 0 is 0. */
const TIME = numbers("0", "1.5", ...LARGE), WAIT = TIME;
/** Rates per second. A rate below 1 would let nothing pass. */
const RATE = numbers("1.5", ...LARGE);
const FLAG = others("true (a boolean)");
const FUNCTION = others(), WORD = others(), SIGNAL = others(), OBJECT = others();
const PARTS = others("{} (an object)");
const LIST = others("[] (an array)");
const TEXT = others('"8080" (a string)');
const ANYTHING = others(...VALUES.map(([shown]) => shown));

type Row = [option: string, kind: Kind];

const HANDLERS: Row[] = [
  ...["onConnect", "onMessage", "onClose", "onError", "onPing", "onPong", "onDrain"],
  ...["onFrameStart", "onFrameChunk", "onFrameEnd"],
].map((name) => [name, FUNCTION]);

/** Options of every connection. */
const CONNECTION: Row[] = [
  ...HANDLERS,
  ["data", ANYTHING],
  ["maxMessageSize", LIMIT],
  ["highWaterMark", AMOUNT],
  // Not above 64 KiB, the default of highWaterMark.
  ["lowWaterMark", numbers("0")],
  ["maxQueueBytes", LIMIT],
  ["whenQueueFull", WORD],
  ["readAhead", AMOUNT],
  ["keepAlive", PARTS],
  ["keepAlive.interval", TIME],
  ["keepAlive.timeout", TIME],
  ["closeTimeout", TIME],
  ["maxLifetime", TIME],
  ["sendTimeout", TIME],
  ["rateLimit", PARTS],
  ["rateLimit.messages", RATE],
  ["rateLimit.bytes", RATE],
  ["payload", WORD],
  ["compression", others("{} (an object)", "true (a boolean)")],
  ["compression.threshold", AMOUNT],
  ["compression.contextTakeover", FLAG],
  ["compression.windowBits", numbers()],
  ["compression.memLevel", numbers()],
  ["compression.level", numbers("0")],
  ["assemble", FLAG],
  ["allowRsv", PARTS],
  ["allowRsv.rsv1", FLAG],
  ["allowRsv.rsv2", FLAG],
  ["allowRsv.rsv3", FLAG],
  ["debug", FLAG],
  ["maskGenerator", FUNCTION],
  ["answerPings", FLAG],
];

const CLIENT: Row[] = [
  ["protocols", others('"8080" (a string)', "[] (an array)")],
  ["extensions", LIST],
  ["headers", others("{} (an object)", "[] (an array)")],
  ["connectTimeout", TIME],
  ["signal", SIGNAL],
  ["tls", PARTS],
  ["tls.caCerts", LIST],
  ["tls.insecure", FLAG],
  ["tls.serverName", TEXT],
  ["proxy", others("null")],
  ["unix", TEXT],
  ["address", OBJECT],
  ["address.hostname", TEXT],
  ["address.port", numbers()],
  ["sockets", OBJECT],
  ["http2", FLAG],
];

const SERVER: Row[] = [
  ["protocols", others('"8080" (a string)', "[] (an array)")],
  ["selectProtocol", FUNCTION],
  ["headers", others("{} (an object)", "[] (an array)")],
  ["origins", LIST],
  ["handshakeTimeout", TIME],
  ["maxHeaderBytes", LIMIT],
  ["maxHeaderFields", LIMIT],
  ["onHandshake", FUNCTION],
];

const LISTEN: Row[] = [
  ...SERVER,
  ["port", numbers("0")],
  ["hostname", OBJECT],
  ["unix", OBJECT],
  ["listener", OBJECT],
  ["sockets", OBJECT],
  ["tls", OBJECT],
  ["tls.cert", OBJECT],
  ["tls.key", OBJECT],
  ["tls.clientCaCerts", OBJECT],
  ["reusePort", OBJECT],
  ["maxConnections", LIMIT],
  ["maxConnectionsPerAddress", LIMIT],
  ["trustProxy", LIST],
  ["trustProxy.from", LIST],
  ["trustProxy.header", WORD],
  ["proxyProtocol", OBJECT],
  ["proxyProtocol.from", LIST],
  ["proxyProtocol.others", WORD],
  ["maxHandshakes", LIMIT],
  ["handler", FUNCTION],
  ["upgrades", WORD],
  ["http2", FLAG],
  ["maxTopics", LIMIT],
  ["backlog", numbers()],
  ["httpIdleTimeout", TIME],
  ["onSubscription", FUNCTION],
  ["tickInterval", TIME],
  ["onHandshakeError", FUNCTION],
  ["onTick", FUNCTION],
  ["onShutdown", FUNCTION],
];

/** Makes options from the path and the value of one of them, and from further ones that it needs. */
function optionsOf(path: string, value: unknown, beside: Record<string, unknown> = {}): object {
  const [name, part] = path.split(".");
  return part === undefined ? { [name]: value } : { [name]: { ...beside, [part]: value } };
}

// deno-lint-ignore no-explicit-any
type Any = any;

interface Entry {
  /** The beginning of the error messages. */
  readonly attempts: string;
  readonly rows: readonly Row[];
  /** Calls the function; returns the connection, the listener or nothing. */
  attempt(options: Any): Promise<unknown> | void;
  /** Further parts that an option needs. */
  readonly beside?: Record<string, Record<string, unknown>>;
}

/** Values that would have effects outside the test. Other tests use them. */
const NOT_HERE = new Set(['listen hostname "8080"', 'listen unix "8080"', "listen reusePort true"]);

async function tryAll(entry: Entry): Promise<void> {
  const { error: print } = console;
  // The option debug writes to it.
  console.error = () => {};
  const wrong: string[] = [];
  try {
    for (const [path, { works, numeric }] of entry.rows) {
      for (const [shown, value] of VALUES) {
        const name = `${entry.attempts} ${path} ${shown}`;
        if ([...NOT_HERE].some((each) => name.startsWith(each))) continue;
        const options = optionsOf(path, value, entry.beside?.[path.split(".")[0]]);
        let error: unknown = null;
        try {
          await entry.attempt(options);
        } catch (thrown) {
          error = thrown;
        }
        if (works.includes(shown)) {
          if (error !== null) wrong.push(`${name} doesn't work: ${error}`);
          continue;
        }
        const Kind = numeric && typeof value === "number" ? RangeError : TypeError;
        if (!(error instanceof Kind)) wrong.push(`${name}: no ${Kind.name}, but ${error}`);
        else if (!says(error.message, entry.attempts, path, shown)) {
          wrong.push(`${name}: ${error.message}`);
        }
      }
    }
  } finally {
    console.error = print;
  }
  assertEquals(wrong, []);
}

/** Whether a message says what was attempted, the option and its value, and what is allowed. */
function says(message: string, attempts: string, path: string, shown: string): boolean {
  const value = shown.replace(/ \(a string\)$/, "");
  // The message for marks in the wrong order names both.
  if (path === "lowWaterMark" && message.endsWith(" above highWaterMark 65536")) return true;
  if (message.startsWith(`Cannot ${attempts} `)) {
    return message.includes(` ${path} ${shown}: use `) ||
      // Values that may be a key or contain a password aren't shown.
      (path.startsWith("tls.") && message.includes(` ${path} of length 4: use `)) ||
      (path === "cluster" && message.includes(" cluster that is a string: use ")) ||
      // A part of an empty object is missing.
      (shown === "{} (an object)" && /\.\w+ undefined: use /.test(message));
  }
  // Values that are sent in a handshake.
  return new RegExp(`^Cannot use ${RegExp.escape(value)} as (the )?\\w+: use `).test(message) ||
    // The URL of a proxy may contain a password, so it isn't quoted completely.
    message === "Cannot use the proxy 8080: not a valid URL, use one such as http://host:port" ||
    (path === "url" && message === 'Cannot connect to "8080": not a valid URL');
}

const URL_OF_NOBODY = "ws://127.0.0.1:9/";
/** A URL for options that need TLS. */
const SECURE_URL_OF_NOBODY = "wss://127.0.0.1:9/";

Deno.test("fault 56: new Context accepts or refuses every option at every odd value", async () => {
  await tryAll({
    attempts: "make a context",
    rows: [
      ...CONNECTION,
      ...CLIENT.filter(([name]) => /^(tls|proxy)/.test(name)),
      ["onBrokerGap", FUNCTION],
      ["onBrokerError", FUNCTION],
      ["broker", OBJECT],
    ],
    attempt: async (options) => void await new Context(options).shutdown(),
  });
});

Deno.test("fault 56: connect accepts or refuses every option at every odd value", async () => {
  await using ctx = new Context();
  await tryAll({
    attempts: "connect",
    rows: [...CONNECTION, ...CLIENT],
    beside: { address: { hostname: "127.0.0.1", port: 9 } },
    attempt: (options) => gone(ctx.connect(SECURE_URL_OF_NOBODY, options)),
  });
  assertEquals(ctx.connections.size, 0);
});

/** Terminates an attempt, and ignores its failure. */
async function gone(conn: Connection): Promise<void> {
  conn.terminate();
  await conn.closed;
}

Deno.test("fault 56: reconnect accepts or refuses every option at every odd value", async () => {
  await using ctx = new Context();
  await tryAll({
    attempts: "reconnect",
    rows: [
      ...CONNECTION,
      ...CLIENT,
      ["backoff", PARTS],
      ["backoff.initial", WAIT],
      ["backoff.max", TIME],
      ["backoff.factor", numbers("1.5", ...LARGE)],
      ["backoff.jitter", numbers("0")],
      ["retryable", FUNCTION],
      ["onRetry", FUNCTION],
    ],
    beside: { address: { hostname: "127.0.0.1", port: 9 } },
    attempt: (options) => void ctx.reconnect(SECURE_URL_OF_NOBODY, options),
  });
});

Deno.test("fault 56: listen accepts or refuses every option at every odd value", async () => {
  using certificates = makeCertificates();
  await using ctx = new Context();
  await tryAll({
    attempts: "listen",
    rows: [...CONNECTION, ...LISTEN],
    beside: {
      tls: { ...certificates.server },
      trustProxy: { from: [] },
      proxyProtocol: { from: [] },
    },
    attempt: (options) => {
      const bound = ["listener", "unix"].some((name) => name in options);
      ctx.listen({ ...(bound ? {} : { hostname: "127.0.0.1" }), ...options }).close();
    },
  });
});

Deno.test("fault 56: adopt accepts or refuses every option at every odd value, and doesn't change the stream if it throws", async () => {
  await using ctx = new Context();
  const stream = () => ({
    readable: new ReadableStream<Uint8Array>(),
    writable: new WritableStream<Uint8Array>(),
  });
  for (const role of ["server", "client"] as const) {
    const rows: Row[] = role === "server"
      ? SERVER
      : CLIENT.filter(([name]) => /^(protocols|headers|connectTimeout|signal)/.test(name));
    await tryAll({
      attempts: "adopt",
      rows: [
        ...CONNECTION,
        ...rows,
        ["initialData", OBJECT],
        ["handshake", FLAG],
        ["role", WORD],
        ["request", OBJECT],
        ["url", role === "client" ? OBJECT : TEXT],
      ],
      attempt: async (options) => {
        const source = stream();
        try {
          await gone(ctx.adopt(source, { role, url: URL_OF_NOBODY, ...options }));
        } catch (error) {
          assert(!source.readable.locked && !source.writable.locked, "the stream was taken");
          throw error;
        }
      },
    });
  }
  await tryAll({
    attempts: "adopt",
    rows: [["protocol", TEXT], ["extensions", others('"8080" (a string)', "[] (an array)")], [
      "url",
      TEXT,
    ], ["initialData", OBJECT]],
    attempt: (options) => gone(ctx.adopt(stream(), { handshake: false, ...options })),
  });
});

Deno.test("fault 56: upgrade accepts or refuses every option at every odd value", async () => {
  await using ctx = new Context();
  const outcomes: ((options: Any) => void)[] = [];
  const given: unknown[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const settle = outcomes.shift()!;
    try {
      const { response, connection } = ctx.upgrade(request, given.shift() as Any);
      connection.terminate();
      settle(null);
      return response;
    } catch (error) {
      settle(error);
      return new Response(null, { status: 400 });
    }
  });
  const needFrames = /^(compression|onPing|onPong|onFrame|assemble|answerPings|allowRsv|rateLimit)/;
  await tryAll({
    attempts: "upgrade",
    rows: [
      ...CONNECTION.filter(([name]) => !needFrames.test(name)),
      ...SERVER.filter(([name]) => /^(protocols|selectProtocol|headers)/.test(name)),
      ["maxHeldBytes", LIMIT],
    ],
    attempt: async (options) => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      outcomes.push(resolve);
      given.push(options);
      const { port } = server.addr;
      using conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await conn.write(upgradeRequest({ "Host": `127.0.0.1:${port}` }));
      const error = await promise;
      if (error !== null) throw error;
    },
  });
});

Deno.test("fault 56: broadcast, publish and shutdown accept or refuse every option at every odd value", async () => {
  await using ctx = new Context();
  const rows: Row[] = [["slow", WORD], ["except", LIST]];
  await tryAll({
    attempts: "broadcast",
    rows: [...rows, ["to", LIST]],
    attempt: (options) => void ctx.broadcast("x", options),
  });
  await tryAll({
    attempts: "publish",
    rows,
    attempt: (options) => void ctx.publish("topic", "x", options),
  });
  await tryAll({
    attempts: "shut down",
    rows: [["timeout", WAIT]],
    attempt: async (options) => void await new Context().shutdown(options),
  });
});

Deno.test("fault 56: each method of a connection accepts or refuses every option at every odd value", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    allowRsv: { rsv1: true, rsv2: true, rsv3: true },
    maxQueueBytes: 0,
  });
  const conn = ctx.connect(listener.url, { allowRsv: { rsv1: true, rsv2: true, rsv3: true } });
  await conn.opened;
  const send: Row[] = [["transfer", FLAG], ["compress", FLAG]];
  await tryAll({
    attempts: "send",
    rows: send,
    attempt: (options) => void conn.send("x", options),
  });
  const sendText = (options: Any) => void conn.sendText("x", options);
  await tryAll({ attempts: "send", rows: send, attempt: sendText });
  const sendBinary = (options: Any) => void conn.sendBinary("x", options);
  await tryAll({ attempts: "send", rows: send, attempt: sendBinary });
  await tryAll({
    attempts: "send a fragment",
    rows: [["binary", FLAG], ["compress", FLAG], ["final", FLAG]],
    attempt: (options) => {
      conn.sendFragment("x", options);
      if (!options.final) conn.sendFragment("", { final: true });
    },
  });
  const bits: Row[] = [["rsv1", FLAG], ["rsv2", FLAG], ["rsv3", FLAG]];
  await tryAll({
    attempts: "send a frame",
    rows: [["fin", FLAG], ...bits],
    attempt: (options) => void conn.sendFrame({ opcode: 1, payload: "x", ...options }),
  });
  await tryAll({
    attempts: "send a frame",
    rows: [["opcode", numbers("0")]],
    attempt: (options) => {
      // A continuation needs an unfinished message.
      if (options.opcode === 0) conn.sendFragment("x");
      conn.sendFrame(options);
    },
  });
  await tryAll({
    attempts: "send a stream",
    rows: [["binary", FLAG], ["signal", SIGNAL], ...bits],
    attempt: (options) => conn.sendStream(["x"], options),
  });
  await tryAll({
    attempts: "ping",
    rows: [["timeout", TIME], ["signal", SIGNAL]],
    // The pong may take longer than 1.5 ms, one of the valid values.
    attempt: (options) => void conn.ping("x", options),
  });
  await tryAll({
    attempts: "wait for the queue to drain",
    rows: [["signal", SIGNAL]],
    attempt: (options) => conn.drained(options),
  });
  await tryAll({
    attempts: "wait for the flush",
    rows: [["signal", SIGNAL]],
    attempt: (options) => conn.flushed(options),
  });
  await tryAll({
    attempts: "take messages",
    rows: [["signal", SIGNAL]],
    attempt: (options) => void conn.receive(options),
  });
  await tryAll({
    attempts: "take messages",
    rows: [["signal", SIGNAL], ["preventClose", FLAG]],
    attempt: async (options) => {
      await using other = new Context();
      const conn = other.connect(listener.url);
      await conn.opened;
      await conn.messages(options).return!();
    },
  });
  assertEquals(conn.state, "open");
});

Deno.test("fault 56: brokers accept or refuse every option at every odd value", async () => {
  await tryAll({
    attempts: "make a Redis broker",
    rows: [
      ["cluster", OBJECT],
      ["username", TEXT],
      ["password", TEXT],
      ["prefix", TEXT],
      ["maxPendingBytes", LIMIT],
      ["keepAlive", PARTS],
      ["keepAlive.interval", TIME],
      ["keepAlive.timeout", TIME],
    ],
    attempt: (options) => void new RedisBroker(options),
  });
  await tryAll({
    attempts: "make a worker hub",
    rows: [["onError", FUNCTION]],
    attempt: (options) => void new WorkerHub(options),
  });
});

Deno.test("fault 56: every entry point refuses options that aren't an object", () => {
  const ctx = new Context();
  const stream = { readable: new ReadableStream(), writable: new WritableStream() };
  const request = new Request("http://127.0.0.1/");
  const entries: [attempts: string, attempt: (options: Any) => unknown][] = [
    ["make a context", (options) => new Context(options)],
    ["connect", (options) => ctx.connect(URL_OF_NOBODY, options)],
    ["reconnect", (options) => ctx.reconnect(URL_OF_NOBODY, options)],
    ["listen", (options) => ctx.listen(options)],
    ["adopt", (options) => ctx.adopt(stream, options)],
    ["upgrade", (options) => ctx.upgrade(request, options)],
    ["shut down", (options) => new Context().shutdown(options)],
    ["make a Redis broker", (options) => new RedisBroker(options)],
    ["make a worker hub", (options) => new WorkerHub(options)],
  ];
  for (const [attempts, attempt] of entries) {
    for (const [shown, value] of VALUES) {
      if (shown.startsWith("{}")) continue;
      const message = `Cannot ${attempts} with options ${shown}: use an object`;
      assertThrows(() => attempt(value), TypeError, message);
    }
  }
});

Deno.test("an option with a former name, or with the name of another library, throws an error with the right name", () => {
  const ctx = new Context();
  const old: [name: string, value: unknown, now: string][] = [
    ["path", "/run/app.sock", "unix"],
    ["queuePolicy", "drop", "whenQueueFull"],
    ["buffering", false, "assemble"],
    ["maxPausedBytes", 1, "maxHeldBytes"],
    ["host", "127.0.0.1", "hostname"],
    ["maxPayload", 1, "maxMessageSize"],
    ["perMessageDeflate", true, "compression"],
    ["onmessage", () => {}, "onMessage"],
  ];
  for (const [name, value, now] of old) {
    const options = { [name]: value };
    const message = `with ${name}: the option is called ${now}`;
    assertThrows(() => new Context(options), TypeError, `Cannot make a context ${message}`);
    assertThrows(() => ctx.listen(options), TypeError, `Cannot listen ${message}`);
    assertThrows(() => ctx.connect(URL_OF_NOBODY, options), TypeError, `Cannot connect ${message}`);
    ctx.listen({ hostname: "127.0.0.1", [name]: undefined }).close();
  }
  const tls = { cert: "", key: "", clientCa: "" };
  assertThrows(() => ctx.listen({ tls }), TypeError, "the option is called tls.clientCaCerts");
});

Deno.test("fault 56: the tables contain every documented option", async () => {
  const tables: Record<string, Row[]> = {
    ConnectionOptions: CONNECTION,
    HandlersOf: HANDLERS,
    ConnectOptions: CLIENT,
    ListenOptionsOf: LISTEN,
    ListenerHandlersOf: LISTEN,
  };
  const missing: string[] = [];
  for (const [path] of await documented()) {
    const [name, option] = path.split(".");
    if (!Object.hasOwn(tables, name)) continue;
    if (!tables[name].some(([row]) => row === option)) missing.push(path);
  }
  assertEquals(missing, []);
});
