/**
 * Authentication by tokens that expire: the server checks a signed token in the handshake, closes the connection when it
 * expires, and accepts a new one before. The client fetches tokens, renews them in time, and comes back with a fresh one.
 *
 *     deno run --allow-net examples/token_server.ts [--port N] [--seconds N]
 *
 * Try it: without a port it shows itself at work and ends; or start it with `--port 8080`, and take the token that it
 * prints: `sluice connect ws://127.0.0.1:8080 -H "Authorization: Bearer TOKEN"`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, Context, type HandshakeError } from "@sluice/websocket";

/** The close code of this application for "your token has expired". */
const EXPIRED = 4401;

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "port": { type: "string" },
    "seconds": { type: "string", default: "600" },
  },
});

// ---- Tokens: the claims and their signature. In production, a JWT of the identity provider and a library for it. ----

interface Claims {
  user: string;
  /** In ms since 1970. */
  expires: number;
}

const ALGORITHM = { name: "HMAC", hash: "SHA-256" };
const key = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]) as CryptoKey;
const URL_SAFE = { alphabet: "base64url", omitPadding: true } as const;

async function issue(user: string, lifetime: number): Promise<string> {
  const claims: Claims = { user, expires: Date.now() + lifetime };
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  const signature = new Uint8Array(await crypto.subtle.sign(ALGORITHM, key, bytes));
  return `${bytes.toBase64(URL_SAFE)}.${signature.toBase64(URL_SAFE)}`;
}

/** Reads a token; `null` if it isn't ours, or has expired. */
async function verify(token: string): Promise<Claims | null> {
  try {
    const [bytes, signature] = token.split(".").map((part) =>
      Uint8Array.fromBase64(part, URL_SAFE)
    );
    if (!await crypto.subtle.verify(ALGORITHM, key, signature, bytes)) return null;
    const claims: Claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims.expires > Date.now() ? claims : null;
  } catch {
    return null;
  }
}

// ---- The server ----------------------------------------------------------------------------------------------------

interface Session extends Claims {
  timer?: ReturnType<typeof setTimeout>;
}

/** Lets a connection live as long as its claims. */
function extend(conn: Connection<Session>, claims: Claims): void {
  clearTimeout(conn.data.timer);
  const timer = setTimeout(() => conn.close(EXPIRED, "token expired"), claims.expires - Date.now());
  conn.data = { ...claims, timer };
}

async function receive(conn: Connection<Session>, data: string | Uint8Array): Promise<void> {
  const { type, token } = JSON.parse(String(data));
  if (type !== "renew") return void conn.send(`you are ${conn.data.user}`);
  const claims = await verify(token);
  // The token must be for the same user: a connection doesn't change hands.
  if (claims?.user === conn.data.user) extend(conn, claims);
  else conn.close(EXPIRED, "not a valid token");
}

const ctx = new Context<Session>();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port ?? 0),
  maxMessageSize: 4096,
  async onHandshake({ headers }) {
    const [scheme, token] = headers.get("authorization")?.split(" ") ?? [];
    const claims = scheme === "Bearer" ? await verify(token) : null;
    if (claims !== null) return { data: claims };
    return new Response(null, { status: 401, headers: { "WWW-Authenticate": "Bearer" } });
  },
  onConnect: (conn) => extend(conn, conn.data),
  onMessage: (conn, data) => receive(conn, data).catch(() => conn.close(1007, "JSON, please")),
  onClose: (conn) => clearTimeout(conn.data.timer),
});

if (args.port !== undefined) {
  console.log(`listening on ${listener.url}`);
  console.log(`a token: ${await issue("Ann", Number(args.seconds) * 1000)}`);
} else {
  const client = new Context({ onError: () => {} });
  const LIFETIME = 1000;

  const stranger = client.connect(listener.url);
  const { status } = await stranger.opened.catch((error) =>
    error as HandshakeError
  ) as HandshakeError;
  console.log(`without a token: refused with ${status}`);

  // In production `issue` is a request to the identity provider.
  let token = await issue("Ann", LIFETIME);
  const conn = client.connect(listener.url, { headers: { Authorization: `Bearer ${token}` } });
  await conn.opened;
  const since = performance.now();
  // Renewed once, at half of its life; then it expires.
  setTimeout(async () => {
    token = await issue("Ann", LIFETIME);
    conn.send(JSON.stringify({ type: "renew", token }));
  }, LIFETIME / 2);
  conn.send(JSON.stringify({ type: "who" }));
  console.log(`with a token: ${await conn.receive()}`);
  const { code, reason } = await conn.closed;
  const outlived = performance.now() - since > LIFETIME;
  console.log(
    `closed with ${code}, ${reason}, ${outlived ? "later" : "no later"} than the first token's end`,
  );

  const again = client.connect(listener.url, { headers: { Authorization: `Bearer ${token}` } });
  const late = await again.opened.catch((error) => error as HandshakeError) as HandshakeError;
  console.log(`with the expired token: refused with ${late.status}`);
  await client.shutdown();
  await ctx.shutdown();
}
