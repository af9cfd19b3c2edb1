import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { buildSchema } from "graphql";
import { createClient } from "graphql-ws";
import { useServer } from "graphql-ws/use/ws";
import { WebSocket as Standard } from "../../websocket.ts";
import { WebSocket, WebSocketServer } from "ws";

const schema = buildSchema(`
  type Query { hello(name: String!): String }
  type Subscription { count(to: Int!): Int }
`);
const rootValue = {
  hello: ({ name }: { name: string }) => `hello ${name}`,
  count: async function* ({ to }: { to: number }) {
    for (let i = 0; i < to; i++) yield { count: i };
  },
};

for (const [name, webSocketImpl] of [["ws", WebSocket], ["the WHATWG class", Standard]] as const) {
  Deno.test({
    name: `graphql-ws: queries, subscriptions and errors work, with a client on ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
      const cleanup = useServer({
        schema,
        roots: { query: rootValue, subscription: rootValue },
        onConnect: ({ connectionParams }) => connectionParams?.token === "right",
      }, server);
      await once(server, "listening");
      const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const client = createClient({ url, webSocketImpl, connectionParams: { token: "right" } });
      const results: unknown[] = [];
      for await (const { data } of client.iterate({ query: '{ hello(name: "x") }' })) {
        results.push({ ...data });
      }
      assertEquals(results, [{ hello: "hello x" }]);
      const counts: unknown[] = [];
      for await (const { data } of client.iterate({ query: "subscription { count(to: 1000) }" })) {
        counts.push(data!.count);
      }
      assertEquals(counts, Array.from({ length: 1000 }, (_, i) => i));
      const errors = await client.iterate({ query: "{ nothing }" }).next().catch((error) => error);
      assert(errors[0].message.includes("nothing"));
      const refused = createClient({
        url,
        webSocketImpl,
        connectionParams: { token: "wrong" },
        retryAttempts: 0,
      });
      const closed = await new Promise<any>((resolve) =>
        refused.subscribe({ query: "{ hello(name: 1) }" }, {
          next: () => {},
          error: resolve,
          complete: () => resolve(null),
        })
      );
      assertEquals(closed.code, 4403);
      await client.dispose();
      await cleanup.dispose();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
