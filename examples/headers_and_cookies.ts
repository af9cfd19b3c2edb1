/**
 * Headers both ways: cookies and a token in the request, several cookies and a subprotocol in the response.
 *
 *     deno run --allow-net examples/headers_and_cookies.ts
 *
 * @module
 */
import { Context } from "@sluice/websocket";

await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  protocols: ["chat.v2", "chat.v1"],
  headers: { "X-Powered-By": "examples" },
  onHandshake(request) {
    const cookies = request.headers.get("cookie")?.split("; ") ?? [];
    if (!cookies.includes("session=42")) return new Response("log in first", { status: 401 });
    return {
      data: { user: "ada" },
      headers: [
        ["Set-Cookie", "session=43; HttpOnly"],
        ["Set-Cookie", "theme=dark"],
      ],
    };
  },
  onConnect(conn) {
    const { headers } = conn.request!;
    console.log(`server: ${conn.data.user} with ${headers.get("user-agent")}`);
  },
});

const conn = ctx.connect(listener.url, {
  protocols: ["chat.v1", "chat.v2"],
  headers: { Cookie: "session=42", "User-Agent": "example/1.0" },
});
const { protocol, headers } = await conn.opened;
console.log(`client: protocol ${protocol}, cookies ${headers.getSetCookie().join(" and ")}`);
console.log(`client: ${headers.get("x-powered-by")}`);

const stranger = ctx.connect(listener.url);
await stranger.opened.catch((error) => {
  console.log(`stranger: ${error.status} ${new TextDecoder().decode(error.body)}`);
});
