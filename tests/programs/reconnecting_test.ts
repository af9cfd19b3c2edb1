import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket as PartySocket } from "partysocket";
import ReconnectingWebSocket from "reconnecting-websocket";
import { WebSocket as Standard } from "../../websocket.ts";
import { WebSocket, WebSocketServer } from "ws";
import { called } from "./_ours.ts";

const CLASSES = [["ws", WebSocket], ["the WHATWG class", Standard]] as const;
const PACKAGES = [
  ["reconnecting-websocket", (ReconnectingWebSocket as any).default ?? ReconnectingWebSocket],
  ["partysocket", PartySocket],
] as const;

for (const [program, Reconnecting] of PACKAGES) {
  for (const [name, impl] of CLASSES) {
    Deno.test({
      name: `${program}on ${name} delivers messages that were sent before and between connections`,
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" });
        const sockets: WebSocket[] = [], texts: string[] = [];
        wss.on("connection", (socket: WebSocket) => {
          sockets.push(socket);
          socket.on("message", (data: Buffer) => {
            texts.push(String(data));
            socket.send(`echo ${data}`);
          });
        });
        await once(wss, "listening");
        const socket = new Reconnecting(
          `ws://127.0.0.1:${(wss.address() as AddressInfo).port}`,
          [],
          { WebSocket: impl, minReconnectionDelay: 1, maxReconnectionDelay: 10 },
        );
        const message = () =>
          called<any>((done) => socket.addEventListener("message", done, { once: true }));
        socket.send("early");
        assertEquals((await message()).data, "echo early");
        const gone = called((done) => socket.addEventListener("close", done, { once: true }));
        sockets[0].terminate();
        await gone;
        socket.send("between");
        assertEquals((await message()).data, "echo between");
        assertEquals(texts, ["early", "between"]);
        assertEquals(socket.retryCount >= 0, true);
        socket.close();
        await new Promise<void>((resolve) => {
          for (const socket of wss.clients!) socket.terminate();
          wss.close(() => resolve());
        });
      },
    });
  }
}
