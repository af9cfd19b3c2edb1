import { assertEquals } from "@std/assert";
import { Server } from "@hocuspocus/server";
import { HocuspocusProvider, HocuspocusProviderWebsocket } from "@hocuspocus/provider";
import { WebSocket as Standard } from "../../websocket.ts";
import * as Y from "yjs";
import { assertOurs, called } from "./_ours.ts";

Deno.test({
  name: "hocuspocus: two providers edit one document, and a later one gets it",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("@hocuspocus/server");
    const server = new Server({ port: 0, address: "127.0.0.1", quiet: true, stopOnSignals: false });
    await server.listen();
    const url = `ws://127.0.0.1:${server.address.port}`;
    const sockets: HocuspocusProviderWebsocket[] = [];
    const join = async (WebSocketPolyfill?: unknown) => {
      const websocketProvider = new HocuspocusProviderWebsocket({ url, WebSocketPolyfill });
      sockets.push(websocketProvider);
      const document = new Y.Doc();
      const provider = new HocuspocusProvider({ websocketProvider, name: "page", document });
      const synced = called((done) => provider.on("synced", () => done(null)));
      provider.attach();
      await synced;
      return { document, provider };
    };
    const [one, two] = [await join(Standard), await join(Standard)];
    const text = two.document.getText("body");
    const arrived = called((done) =>
      text.observe(() => {
        if (text.length === 1000) done(null);
      })
    );
    for (let i = 0; i < 1000; i++) one.document.getText("body").insert(i, String(i % 10));
    await arrived;
    assertEquals(text.toString(), "0123456789".repeat(100));
    const back = called((done) => one.document.getMap("m").observe(() => done(null)));
    two.document.getMap("m").set("key", "value");
    await back;
    assertEquals(one.document.getMap("m").get("key"), "value");
    const late = await join(Standard);
    assertEquals(late.document.getText("body").length, 1000);
    for (const { provider } of [one, two, late]) provider.destroy();
    for (const socket of sockets) socket.destroy();
    await server.destroy();
  },
});
