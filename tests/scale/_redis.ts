// Redis servers for tests.
import { findProgram, skip } from "../support/needs.ts";

const ignore = skip(findProgram("redis-server"), "redis-server");

/** Defines a test that needs redis-server. */
export function redisTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore, fn });
}

/** A port outside the range of ephemeral ports: a client that connects to itself would keep the server from starting. */
function candidatePort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ port, hostname: "127.0.0.1" }).close();
    return true;
  } catch {
    return false;
  }
}

/** A port on which no program listens. */
export function freePort(): number {
  for (;;) {
    const port = candidatePort();
    if (isFree(port)) return port;
  }
}

/** A running redis-server, which can be killed and restarted on its port. */
export class Redis implements AsyncDisposable {
  readonly port: number;
  readonly #args: string[];
  readonly #directory: string;
  #process: Deno.ChildProcess | null = null;
  #output: Promise<void> | null = null;

  private constructor(port: number, args: string[], directory: string) {
    this.port = port;
    this.#args = args;
    this.#directory = directory;
  }

  /** Starts a server on a free port, with further arguments. */
  static async start(...args: string[]): Promise<Redis> {
    const directory = await Deno.makeTempDir({ prefix: "sluice-redis-" });
    for (;;) {
      const redis = new Redis(freePort(), args, directory);
      // Another program may have taken the port in the meantime.
      if (await redis.run()) return redis;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts the server; returns whether it could bind its port. */
  async run(): Promise<boolean> {
    const process = new Deno.Command("redis-server", {
      args: ["--port", `${this.port}`, "--bind", "127.0.0.1", "--save", "", ...this.#args],
      cwd: this.#directory,
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const ready = Promise.withResolvers<boolean>();
    this.#output = (async () => {
      let log = "";
      for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
        if (log !== "ready") log += chunk;
        if (log.includes("Ready to accept connections")) {
          ready.resolve(true);
          log = "ready";
        }
      }
      ready.resolve(false);
    })();
    if (await ready.promise) {
      this.#process = process;
      return true;
    }
    await process.status;
    return false;
  }

  /** Kills the server, like a crash. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    process.kill("SIGKILL");
    await process.status;
    await this.#output;
  }

  /** Stops the process: its connections stay open, and nothing is answered. */
  freeze(): void {
    this.#process!.kill("SIGSTOP");
  }

  /** Continues the process after `freeze`. */
  thaw(): void {
    this.#process!.kill("SIGCONT");
  }

  /** Starts the server again on the same port. */
  async restart(): Promise<void> {
    if (!await this.run()) throw new Error(`Port ${this.port} is in use`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#directory, { recursive: true });
  }
}
