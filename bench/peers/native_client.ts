interface Client {
  send(data: Uint8Array<ArrayBuffer>): void;
  binaryType: BinaryType;
  onopen: ((event: Event) => unknown) | null;
  onerror: ((event: Event) => unknown) | null;
  onmessage: ((event: MessageEvent) => unknown) | null;
}

/** Makes clients of any class with the interface of the WHATWG. */
export function connectBy(Socket: new (url: string) => Client) {
  return (
    url: string,
    _size: number,
    onMessage: (length: number) => void,
  ): Promise<(payload: Uint8Array<ArrayBuffer>) => void> =>
    new Promise((resolve, reject) => {
      const socket = new Socket(url);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => resolve((payload) => socket.send(payload));
      socket.onerror = () => reject(new Error(`Cannot connect to ${url}`));
      socket.onmessage = (event) => onMessage(event.data.byteLength);
    });
}

/** A client over the runtime's own WebSocket class, Deno's or Bun's. */
export const connect = connectBy(WebSocket);
