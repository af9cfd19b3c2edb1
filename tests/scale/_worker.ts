// A worker with a server. Its clients send commands: "+topic" subscribes, "-topic" unsubscribes, "topic=text" publishes.

import { Context, WorkerBroker } from "../../mod.ts";

interface Start {
  port: MessagePort;
  memory: SharedArrayBuffer;
}

// `self` with its type in a worker. The type check takes it for a window.
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Start | "block" | "shutdown">) => void;
  postMessage(message: unknown): void;
  close(): void;
};

let context: Context;
let shared: SharedArrayBuffer;

scope.onmessage = async ({ data }) => {
  if (data === "shutdown") {
    await context.shutdown();
    scope.postMessage("done");
    scope.close();
  } else if (data === "block") {
    // A busy worker receives nothing. The test releases it through shared memory.
    scope.postMessage("blocked");
    Atomics.wait(new Int32Array(shared), 0, 0);
  } else {
    start(data);
  }
};

function start({ port, memory }: Start): void {
  shared = memory;
  context = new Context({
    broker: new WorkerBroker(port),
    onBrokerGap: ({ topics }) => scope.postMessage({ gap: topics }),
  });
  const listener = context.listen({
    port: 0,
    hostname: "127.0.0.1",
    onMessage: async (conn, data) => {
      const text = data as string;
      if (text.startsWith("+")) {
        conn.subscribe(text.slice(1));
        await context.ready;
        conn.send("ok");
      } else if (text.startsWith("-")) {
        conn.unsubscribe(text.slice(1));
        conn.send("ok");
      } else {
        const at = text.indexOf("=");
        conn.publish(text.slice(0, at), text.slice(at + 1));
      }
    },
  });
  scope.postMessage(listener.url);
}
