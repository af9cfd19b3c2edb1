// Child processes: started on their core, stopped by their own handle.

import { attempt } from "./cache.ts";

// Reports print errors, and must not print the directories of a machine.
const ROOT = new URL("../../", import.meta.url).href;

const taskset = navigator.hardwareConcurrency > 1 &&
  await attempt("taskset", "--version") !== undefined;

/** Which core: servers have one, clients the other. */
export type Core = 0 | 1;

/** How processes are kept apart, for the report. */
export const pinning = taskset
  ? "servers pinned to core 0, load to core 1"
  : "not pinned (one core, or no taskset)";

function pinned(core: Core | null, command: string[]): string[] {
  return taskset && core !== null ? ["taskset", "-c", String(core), ...command] : command;
}

/** Keeps this process with all its threads on `core`, for scripts that are the load themselves. */
export async function pinSelf(core: Core): Promise<void> {
  if (taskset) await attempt("taskset", "-a", "-c", "-p", String(core), String(Deno.pid));
}

const running = new Set<Child>();

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    for (const child of running) child.kill();
    Deno.exit(1);
  });
}

/** A running child with its standard output as lines. */
export class Child implements AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #errors: Promise<string>;
  readonly #lines: AsyncIterator<string>;

  /** Starts `command` on `core`, or on any. */
  constructor(command: string[], core: Core | null, env: Record<string, string>) {
    const [program, ...args] = pinned(core, command);
    this.#process = new Deno.Command(program, {
      args,
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#process.pid;
    running.add(this);
    this.#errors = new Response(this.#process.stderr).text();
    this.#lines = lines(this.#process.stdout);
  }

  /** The next line of standard output that matches; rejects with the text of standard error when the output ends. */
  async line(pattern: RegExp, timeout: number): Promise<RegExpExecArray> {
    const timer = setTimeout(() => this.kill(), timeout);
    try {
      for (;;) {
        const { value, done } = await this.#lines.next();
        if (done) throw new Error(lastLines(await this.#errors) || "Ended, or took too long");
        const match = pattern.exec(value);
        if (match) return match;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process without waiting for it. */
  kill(): void {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // The process has ended by itself.
    }
  }

  /** Ends the process and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#process.status;
    running.delete(this);
    // The pipes end with the process; what they still hold is of no interest.
    await this.#lines.return?.();
    await this.#errors;
  }
}

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

function lastLines(text: string): string {
  const meaningful = text.replaceAll(ROOT, "").trim().split("\n").filter((line) =>
    !/^\s+(at|\d+:) |^Stack backtrace/.test(line)
  );
  return meaningful.slice(0, 3).join(" ").replace(/\s+/g, " ").slice(0, 300);
}
