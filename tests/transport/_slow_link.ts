import type { SocketTransport } from "../../src/transport/sockets.ts";
import { systemSockets } from "../../system.ts";
import { TCP } from "./_system.ts";

/** Bytes that pass at a time. */
const PIECE = 4096;

/**
 * A proxy on loopback that takes what a server sends at a slow pace, through a small buffer of the kernel's, as a slow
 * link would. What clients send passes at once.
 */
export class SlowLink {
  /** Bytes of the server's that have passed. */
  passed = 0;
  readonly #sockets = systemSockets({ receiveBuffer: PIECE });
  readonly #listener = this.#sockets.listenTcp(TCP);
  readonly #open: SocketTransport[] = [];

  /**
   * @param target The server's port.
   * @param delay How long each piece takes, in ms.
   */
  constructor(readonly target: number, readonly delay = 1) {
    void this.#serve();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #serve(): Promise<void> {
    const client = await this.#listener.accept();
    const server = await this.#sockets.connectTcp("127.0.0.1", this.target);
    this.#open.push(client, server);
    const up = this.#pass(client, server, 64 * 1024, () => {});
    const down = this.#pass(server, client, PIECE, (count) => {
      this.passed += count;
      return new Promise((resolve) => setTimeout(resolve, this.delay));
    });
    await Promise.allSettled([up, down]);
  }

  async #pass(
    from: SocketTransport,
    to: SocketTransport,
    most: number,
    each: (count: number) => unknown,
  ): Promise<void> {
    const piece = new Uint8Array(most);
    for (;;) {
      const count = await from.read(piece);
      if (count === null) return;
      for (let at = 0; at < count;) at += await to.write(piece.subarray(at, count));
      await each(count);
    }
  }

  close(): void {
    this.#listener.close();
    for (const socket of this.#open) socket.close();
  }
}
