import type { SocketTransport } from "../../src/transport/sockets.ts";
import { systemSockets } from "../../system.ts";
import { TCP } from "./_system.ts";

/** The number of bytes that are passed at a time. */
const PIECE = 4096;

/**
 * A proxy on loopback that reads slowly from a server, through a small buffer of the kernel, like a slow link. It passes the
 * client's bytes at once.
 */
export class SlowLink {
  /** The number of the server's bytes that were passed. */
  passed = 0;
  readonly #sockets = systemSockets({ receiveBuffer: PIECE });
  readonly #listener = this.#sockets.listenTcp(TCP);
  readonly #open: SocketTransport[] = [];

  /**
   * @param target The server's port.
   * @param delay The time for each piece, in ms.
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
