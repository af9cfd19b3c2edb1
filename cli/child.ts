import type { Connection, ReceivedMessage } from "../mod.ts";
import { startTimer } from "../src/util/timers.ts";
import { lines, oneLine, oneLineOfBytes } from "./lines.ts";
import type { Terminal } from "./terminal.ts";

/** How long a command may go on after the end of its input, and again after it was asked to end. */
const PATIENCE = 2000;
const NEWLINE = new Uint8Array([10]);
const WINDOWS = Deno.build.os === "windows";
const encoder = new TextEncoder();

/** A shell command that speaks with one connection: lines on its side, messages on the other. */
export class Child {
  /** Resolves when the command has ended. */
  readonly ended: Promise<void>;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #ending = false;

  /**
   * Starts the command.
   *
   * @param conn The connection that it speaks with.
   * @param command A line for the system's shell.
   * @param terminal Where its failure is reported.
   * @throws If there can be no further process.
   */
  constructor(conn: Connection<unknown>, command: string, terminal: Terminal) {
    const [shell, ...flags] = WINDOWS ? ["cmd", "/d", "/c"] : ["sh", "-c"];
    this.#process = new Deno.Command(shell, {
      args: [...flags, command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: { SLUICE_URL: conn.url },
      // In a process group of its own, so that what the shell has started ends with it.
      detached: !WINDOWS,
    }).spawn();
    this.ended = this.#process.status.then(() => {});
    this.#input = this.#process.stdin.getWriter();
    // A command that has closed its input is reported at its exit.
    this.#input.closed.catch(() => {});
    this.#run(conn).catch((error) => terminal.error(`${command}: ${error.message}`));
  }

  /** Gives the command a message as a line; what this returns settles when the command has room for it. */
  async write(data: ReceivedMessage): Promise<void> {
    try {
      await this.#input.write(
        typeof data === "string" ? encoder.encode(oneLine(data)) : oneLineOfBytes(data),
      );
      await this.#input.write(NEWLINE);
    } catch {
      // It reads no more; its exit closes the connection.
    }
  }

  /** The connection has ended: the command gets the end of its input, and some time to finish. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#input.close().catch(() => {});
    let stop = startTimer(PATIENCE, () => {
      this.kill("SIGTERM");
      stop = startTimer(PATIENCE, () => this.kill("SIGKILL"));
    });
    this.ended.then(() => stop());
  }

  /** Ends the command, and what it has started. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    try {
      if (WINDOWS) this.#process.kill(signal);
      else Deno.kill(-this.#process.pid, signal);
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
    this.#ending = true;
    if (success) conn.close(1000);
    else conn.close(1011, `the command has ended with ${code}`);
  }
}
