/** The loopback address that clients connect from. The proxies under test have another one. */
export const CLIENT = "127.0.0.77";

/** Forwards TCP connections to a server, from the address `CLIENT`. */
export class Origin implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor(port: number, from = CLIENT) {
    mayFail(this.#run(port, from), "the loop ends with its listener");
  }

  get address(): { hostname: string; port: number } {
    return { hostname: "127.0.0.1", port: this.#listener.addr.port };
  }

  async #run(port: number, from: string): Promise<void> {
    for await (const conn of this.#listener) {
      // `Deno.connect` has no option for the local address.
      const child = new Deno.Command("python3", {
        args: ["-c", PYTHON, from, String(port)],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      Promise.allSettled([
        conn.readable.pipeTo(child.stdin),
        child.stdout.pipeTo(conn.writable),
      ]);
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

const PYTHON = `
import os, socket, sys, threading
s = socket.socket()
s.bind((sys.argv[1], 0))
s.connect(("127.0.0.1", int(sys.argv[2])))
def up():
    while True:
        data = os.read(0, 65536)
        if not data: break
        s.sendall(data)
    try: s.shutdown(socket.SHUT_WR)
    except OSError: pass
threading.Thread(target=up, daemon=True).start()
while True:
    data = s.recv(65536)
    if not data: break
    os.write(1, data)
`;
import { mayFail } from "../support/failure.ts";
