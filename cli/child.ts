import type { Connection, ReceivedMessage } from "../mod.ts";
import { lines } from "./lines.ts";
import type { Terminal } from "./terminal.ts";

const PATIENCE = 2000;
const NEWLINE = new Uint8Array([10]);
const encoder = new TextEncoder();

/** A shell command that speaks with one connection: lines on its side, messages on the other. */
export class Child {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #ended = false;

  /**
   * Starts the command.
   *
   * @param conn Who it speaks with.
   * @param command A line for the system's shell.
   * @param terminal Where its failure is told.
   */
  constructor(conn: Connection<unknown>, command: string, terminal: Terminal) {
    const [shell, ...flags] = Deno.build.os === "windows" ? ["cmd", "/d", "/c"] : ["sh", "-c"];
    this.#process = new Deno.Command(shell, {
      args: [...flags, command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: { SLUICE_URL: conn.url },
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    // A command that has closed its input is told by its exit.
    this.#input.closed.catch(() => {});
    this.#run(conn).catch((error) => terminal.error(`${command}: ${error.message}`));
  }

  /** Gives the command a line; what this returns settles when the command has room for it. */
  async write(data: ReceivedMessage): Promise<void> {
    try {
      await this.#input.write(typeof data === "string" ? encoder.encode(data) : data.slice());
      await this.#input.write(NEWLINE);
    } catch {
      // It reads no more; its exit closes the connection.
    }
  }

  /** The connection has ended: the command gets the end of its input, and some time to finish. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#input.close().catch(() => {});
    const timer = setTimeout(() => this.kill(), PATIENCE);
    this.#process.status.then(() => clearTimeout(timer));
  }

  /** Ends the command. */
  kill(): void {
    try {
      this.#process.kill();
    } catch {
      // It has gone by itself.
    }
  }

  async #run(conn: Connection<unknown>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const line of lines(this.#process.stdout)) {
      if (conn.state !== "open") continue;
      if (!conn.send(decoder.decode(line))) await conn.drained().catch(() => {});
    }
    const { success, code } = await this.#process.status;
    this.#ended = true;
    if (success) conn.close(1000);
    else conn.close(1011, `the command has ended with ${code}`);
  }
}
