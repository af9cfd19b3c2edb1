import { WebSocketServer } from "ws";
import { mayFail } from "../support/failure.ts";

const CLI = new URL("../../cli.ts", import.meta.url).pathname;

/** The arguments of `deno` for running the tool. */
export const COMMAND = ["run", "-A", "--no-check", CLI];

/** The tool in a process of its own. */
export class Tool implements AsyncDisposable {
  readonly process: Deno.ChildProcess;
  /** The output so far. */
  stdout = "";
  stderr = "";
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ended: Promise<unknown>;
  #told = Promise.withResolvers<void>();
  #over = false;

  constructor(...args: string[]) {
    this.process = new Deno.Command(Deno.execPath(), {
      args: [...COMMAND, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    this.#input = this.process.stdin.getWriter();
    mayFail(this.#input.closed, "the tool may end before its input does");
    this.#ended = Promise.all([
      this.#collect(this.process.stdout, "stdout"),
      this.#collect(this.process.stderr, "stderr"),
    ]).then(() => {
      this.#over = true;
      this.#told.resolve();
    });
  }

  /** Waits until the output matches. */
  async until(where: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[where]);
      if (match !== null) return match;
      if (this.#over) {
        throw new Error(`No output matches ${pattern}: ${this.stdout}\n${this.stderr}`);
      }
      await this.#told.promise;
    }
  }

  /** Waits for the URL that the tool listens on. */
  async url(): Promise<string> {
    return (await this.until("stdout", /^listening on (\S+)\n/))[1];
  }

  /** Writes to standard input. */
  async type(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  /** Closes standard input. */
  async endInput(): Promise<void> {
    await mayFail(this.#input.close(), "the tool may have ended");
  }

  /** Waits for the exit; returns its code. */
  async end(): Promise<number> {
    const { code } = await this.process.status;
    await this.#ended;
    return code;
  }

  /** Sends SIGINT, like Ctrl-C. */
  interrupt(): void {
    this.process.kill("SIGINT");
  }

  async [Symbol.asyncDispose]() {
    try {
      this.process.kill("SIGKILL");
    } catch {
      // The tool has ended already.
    }
    await this.endInput();
    await this.end();
  }

  async #collect(stream: ReadableStream<Uint8Array>, where: "stdout" | "stderr") {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      this[where] += text;
      this.#told.resolve();
      this.#told = Promise.withResolvers();
    }
  }
}

/** Runs the tool until it ends. */
export async function runTool(args: string[], input = "") {
  await using tool = new Tool(...args);
  if (input !== "") await tool.type(input);
  await tool.endInput();
  const code = await tool.end();
  return { code, stdout: tool.stdout, stderr: tool.stderr };
}

/** A server of the npm package `ws`. */
// deno-lint-ignore no-explicit-any -- the package ships no types
export async function wsServer(onConnection: (socket: any, request: any) => void, options = {}) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...options });
  await new Promise((resolve) => server.once("listening", resolve));
  server.on("connection", onConnection);
  let open = true;
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    clients: () => server.clients,
    async [Symbol.asyncDispose]() {
      if (!open) return;
      open = false;
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
