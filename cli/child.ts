import type { Connection, ReceivedMessage } from "../mod.ts";
import { startTimer } from "../src/util/timers.ts";
import { lines, oneLine, oneLineOfBytes } from "./lines.ts";
import type { Terminal } from "./terminal.ts";

/** How long a command may run after the end of its input, and again after SIGTERM, in ms. */
const EXIT_TIMEOUT = 2000;
const NEWLINE = new Uint8Array([10]);
const WINDOWS = Deno.build.os === "windows";
const encoder = new TextEncoder();

/** A shell command that is joined to one connection: its lines are messages. */
export class Child {
  /** Resolves when the command has ended. */
  readonly ended: Promise<void>;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #ending = false;

  /**
   * Starts the command.
   *
   * @param conn The connection.
   * @param command A line for the shell.
   * @param terminal Gets the report of a failure.
   * @throws If the process can't be started.
   */
  constructor(conn: Connection<unknown>, command: string, terminal: Terminal) {
    const [shell, ...flags] = WINDOWS ? ["cmd", "/d", "/c"] : ["sh", "-c"];
    this.#process = new Deno.Command(shell, {
      args: [...flags, command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: { SLUICE_URL: conn.url },
      // In a process group of its own, so that the processes of the shell end with it.
      detached: !WINDOWS,
    }).spawn();
    this.ended = this.#process.status.then(() => {});
    this.#input = this.#process.stdin.getWriter();
    // A command that has closed its input is reported at its exit.
    this.#input.closed.catch(() => {});
    this.#run(conn).catch((error) => terminal.error(`${command}: ${error.message}`));
  }

  /** Writes a message to the command as a line; resolves when the command has room for it. */
  async write(data: ReceivedMessage): Promise<void> {
    try {
      await this.#input.write(
        typeof data === "string" ? encoder.encode(oneLine(data)) : oneLineOfBytes(data),
      );
      await this.#input.write(NEWLINE);
    } catch {
      // The command has closed its input; its exit closes the connection.
    }
  }

  /** The connection has ended: closes the command's input, and gives it some time to finish. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#input.close().catch(() => {});
    let stop = startTimer(EXIT_TIMEOUT, () => {
      this.kill("SIGTERM");
      stop = startTimer(EXIT_TIMEOUT, () => this.kill("SIGKILL"));
    });
    this.ended.then(() => stop());
  }

  /** Ends the command and its process group. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    try {
      if (WINDOWS) this.#process.kill(signal);
      else Deno.kill(-this.#process.pid, signal);
    } catch {
      // It has ended already.
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
