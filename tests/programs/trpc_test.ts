import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createTRPCClient, createWSClient, wsLink } from "@trpc/client";
import { initTRPC, TRPCError } from "@trpc/server";
import { applyWSSHandler } from "@trpc/server/adapters/ws";
import { WebSocket as Standard } from "../../websocket.ts";
import { WebSocket, WebSocketServer } from "ws";

const t = initTRPC.create();
const notes: string[] = [];
const router = t.router({
  add: t.procedure.input((value) => value as [number, number]).query(({ input: [a, b] }) => a + b),
  note: t.procedure.input(String).mutation(({ input }) => notes.push(input)),
  fail: t.procedure.query(() => {
    throw new TRPCError({ code: "FORBIDDEN", message: "not for you" });
  }),
  count: t.procedure.input(Number).subscription(async function* ({ input }) {
    for (let i = 0; i < input; i++) yield i;
  }),
});

for (const [name, impl] of [["ws", WebSocket], ["the WHATWG class", Standard]] as const) {
  Deno.test({
    name: `tRPC: queries, mutations, errors and subscriptions work, with a client on ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" });
      const handler = applyWSSHandler({
        wss,
        router,
        keepAlive: { enabled: true, pingMs: 50, pongWaitMs: 5000 },
      });
      await once(wss, "listening");
      const url = `ws://127.0.0.1:${(wss.address() as AddressInfo).port}`;
      const wsClient = createWSClient({ url, WebSocket: impl as never });
      const client = createTRPCClient<typeof router>({ links: [wsLink({ client: wsClient })] });
      assertEquals(await client.add.query([2, 3]), 5);
      await client.note.mutate("kept");
      assertEquals(notes.pop(), "kept");
      const sums = await Promise.all(
        Array.from({ length: 500 }, (_, i) => client.add.query([i, i])),
      );
      assertEquals(sums, Array.from({ length: 500 }, (_, i) => 2 * i));
      const error = await client.fail.query().catch((error) => error);
      assertEquals([error.message, error.data.code], ["not for you", "FORBIDDEN"]);
      const counts: number[] = [];
      await new Promise<void>((resolve, reject) => {
        client.count.subscribe(1000, {
          onData: (n) => void counts.push(n),
          onComplete: resolve,
          onError: reject,
        });
      });
      assertEquals(counts, Array.from({ length: 1000 }, (_, i) => i));
      handler.broadcastReconnectNotification();
      assertEquals(await client.add.query([20, 22]), 42);
      await wsClient.close();
      assert(wss.clients instanceof Set);
      await new Promise<void>((resolve) => {
        for (const socket of wss.clients) socket.terminate();
        wss.close(() => resolve());
      });
    },
  });
}
