/**
 * Prints the states of a connection, from the first to the last, and its counters on the way.
 *
 *     deno run --allow-net examples/state_monitor.ts
 *
 * @module
 */
import { type Connection, Context } from "@sluice/websocket";

const show = (when: string, conn: Connection) => console.log(`${when}: ${conn.state}`);

await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => conn.send(data),
});
const conn = ctx.connect(listener.url, {
  onConnect: (conn) => show("onConnect", conn),
  onClose: (conn) => show("onClose", conn),
});
show("after connect()", conn);
await conn.opened;
conn.send("counted");
await conn.receive();
conn.close();
show("after close()", conn);
const close = await conn.closed;
show("after closed", conn);
const { messagesSent, messagesReceived, queuedBytes } = conn.stats();
console.log(`${messagesSent} sent, ${messagesReceived} received, ${queuedBytes} bytes queued`);
console.log(`${close}`);

const refused = ctx.connect(listener.url);
refused.terminate();
show("cancelled", refused);
