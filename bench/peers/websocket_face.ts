// Our `./websocket`, as peers/native_client.ts has the class that the runtime brings.

import { WebSocket } from "../../websocket.ts";

/** A client that sends and receives binary messages. */
export function connect(
  url: string,
  _size: number,
  onMessage: (length: number) => void,
): Promise<(payload: Uint8Array<ArrayBuffer>) => void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => resolve((payload) => socket.send(payload));
    socket.onerror = () => reject(new Error(`Cannot connect to ${url}`));
    socket.onmessage = (event) => onMessage(event.data.byteLength);
  });
}
