// The npm package `ws` on Node: `server DIRECTORY` or `client DIRECTORY URL PROTOCOL...`. The program echoes messages, executes
// those that begin with `!`, and prints each event as a JSON object in a line.

import { createRequire } from "node:module";
import process from "node:process";

const [role, directory, url, ...protocols] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(import.meta.url)(directory);

function tell(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

function attach(socket) {
  socket.on("message", (data, isBinary) => {
    const [command, ...words] = isBinary ? [] : data.toString().split(" ");
    if (command === "!fragments") {
      socket.send("one €", { fin: false });
      socket.send("", { fin: false });
      socket.ping("between");
      socket.send(" two", { fin: true });
      socket.send(Buffer.from([1]), { fin: false, binary: true });
      socket.send(Buffer.from([2, 3]), { fin: true });
    } else if (command === "!ping") {
      socket.ping(words[0]);
    } else if (command === "!close") {
      if (words.length === 0) socket.close();
      else socket.close(Number(words[0]), words.slice(1).join(" "));
    } else if (command === "!terminate") {
      socket.terminate();
    } else {
      socket.send(data, { binary: isBinary });
    }
  });
  socket.on("ping", (data) => tell({ event: "ping", payload: data.toString() }));
  socket.on("pong", (data) => tell({ event: "pong", payload: data.toString() }));
  socket.on("error", (error) => tell({ event: "error", message: error.message }));
  socket.on("close", (code, reason) => {
    tell({ event: "close", code, reason: reason.toString() });
  });
}

const options = { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 };
if (role === "server") {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    handleProtocols: (offered) => offered.has("chat") ? "chat" : false,
    ...options,
  });
  server.on("connection", attach);
  server.on("listening", () => tell({ event: "listening", port: server.address().port }));
} else {
  const socket = new WebSocket(url, protocols, options);
  attach(socket);
  socket.on("open", () => tell({ event: "open", protocol: socket.protocol }));
}
