/**
 * Authentication by a cookie: a page logs in by an ordinary request, and its WebSocket carries the cookie. The browser
 * sends the cookie for pages of other origins as well; `origins` refuses those.
 *
 *     deno run --allow-net examples/cookie_server.ts [--port N]
 *
 * Try it: without a port it shows itself at work and ends; or start it with `--port 8080`, and open
 * http://127.0.0.1:8080/ in a browser.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context, type HandshakeError, type Listener } from "@sluice/websocket";

const PAGE = `<!doctype html>
<title>Cookie</title>
<form method="post" action="/login">
  <label>Name <input name="name" required></label> <button>Log in</button>
</form>
<pre id="log"></pre>
<script>
  const say = (text) => log.textContent += text + "\\n";
  const socket = new WebSocket(location.href.replace("http", "ws"));
  socket.onopen = () => socket.send("who am I?");
  socket.onmessage = ({ data }) => say(data);
  // A page can't see the status of a refused handshake.
  socket.onclose = ({ code }) => say(code === 1006 ? "not logged in" : "closed with " + code);
</script>
`;

interface User {
  name: string;
}

/** In production: a database, and sessions that expire. */
const sessions = new Map<string, User>();

function sessionOf({ headers }: Request): User | undefined {
  const cookies = headers.get("cookie")?.split("; ") ?? [];
  const id = cookies.find((cookie) => cookie.startsWith("session="))?.slice("session=".length);
  return id === undefined ? undefined : sessions.get(id);
}

async function logIn(request: Request): Promise<Response> {
  // In production: check a password. A form of another site's page is refused.
  if (request.headers.get("sec-fetch-site") === "cross-site") {
    return new Response(null, { status: 403 });
  }
  const name = (await request.formData()).get("name");
  if (typeof name !== "string") return new Response("which name?", { status: 400 });
  const id = crypto.randomUUID();
  sessions.set(id, { name });
  return new Response(null, {
    status: 303,
    // In production, over TLS: add Secure.
    headers: { location: "/", "set-cookie": `session=${id}; HttpOnly; SameSite=Lax; Path=/` },
  });
}

const { values: args } = parseArgs({ args: Deno.args, options: { "port": { type: "string" } } });
const ctx = new Context<User>();
const listener: Listener<User> = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port ?? 0),
  // The origin of our own pages; in production a list, such as ["https://example.com"].
  origins: (origin) => origin === `http://127.0.0.1:${listener.port}`,
  handler(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/login" && request.method === "POST") return logIn(request);
    if (pathname !== "/") return new Response(null, { status: 404 });
    return new Response(PAGE, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
  onHandshake(request) {
    const user = sessionOf(request);
    return user === undefined ? new Response("log in first\n", { status: 401 }) : { data: user };
  },
  onMessage: (conn) => void conn.send(`you are ${conn.data.name}`),
});

if (args.port !== undefined) {
  console.log(`listening on ${listener.url}`);
} else {
  const origin = `http://127.0.0.1:${listener.port}`;
  const answer = await fetch(`${origin}/login`, {
    method: "POST",
    body: new URLSearchParams({ name: "Ann" }),
    redirect: "manual",
  });
  await answer.body?.cancel();
  const [cookie] = answer.headers.get("set-cookie")!.split(";");
  const visitors: [string, Record<string, string>][] = [
    ["our page, logged in", { Origin: origin, Cookie: cookie }],
    ["our page, not logged in", { Origin: origin }],
    ["another site's page", { Origin: "https://evil.example", Cookie: cookie }],
  ];
  const client = new Context();
  for (const [who, headers] of visitors) {
    const conn = client.connect(listener.url, { headers, onError: () => {} });
    try {
      await conn.opened;
      conn.send("who am I?");
      console.log(`${who}: ${await conn.receive()}`);
    } catch (error) {
      console.log(`${who}: refused with ${(error as HandshakeError).status}`);
    }
  }
  await client.shutdown();
  await ctx.shutdown();
}
