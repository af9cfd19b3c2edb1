/** A client over the WebSocket class that the runtime brings, Deno's or Bun's. */
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
