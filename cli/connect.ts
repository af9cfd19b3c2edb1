import { type Connection, Context, HandshakeError, type ReceivedMessage } from "../mod.ts";
import { isOrderly } from "../src/protocol/close_record.ts";
import { startTimer, within } from "../src/util/timers.ts";
import type { Args, Spec } from "./args.ts";
import { LostError, typed } from "./failure.ts";
import { Input, pump, standardInput } from "./input.ts";
import { CLIENT, openFile, OUTBOUND, outboundOptions, sizeOptions, urlOf } from "./options.ts";
import { PromptView } from "./prompt.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT, UsageError } from "./usage.ts";
import { JsonView, PlainView, type View } from "./view.ts";

/** The options of `sluice connect`. */
export const spec: Spec = {
  values: [...CLIENT.values, ...OUTBOUND.values, "file", "linger", "ping", "max-size"],
  lists: [...CLIENT.lists, "message"],
  flags: [
    ...CLIENT.flags,
    "binary",
    "json",
    "keep-open",
    "null",
    "one",
    "quiet",
    "reconnect",
    "show-headers",
  ],
};

const CLOSE_TIMEOUT = 2000;
/** How long the last ping may take, in ms: the server answers it after everything that was sent. */
const ANSWER = 60_000;
const NEWLINE = 10;
const COMMANDS = "/ping, /pause, /resume, /close [CODE [REASON]]; // begins a message with /";

/** Sends messages, and prints what arrives. */
export async function connect(args: Args, terminal: Terminal): Promise<number> {
  args.expect("URL");
  const url = urlOf(args.positional[0]);
  const options = { ...await outboundOptions(args), ...sizeOptions(args) };
  const view = viewOf(args, terminal);
  try {
    const talk = new Talk(args, terminal, view);
    if (args.flag("reconnect")) await talk.again(url, options);
    else await talk.once(url, options);
  } finally {
    if (view instanceof PromptView) view.end();
  }
  return terminal.isInterrupted ? EXIT.interrupted : EXIT.ok;
}

function viewOf(args: Args, terminal: Terminal): View {
  const options = {
    binary: args.flag("binary"),
    end: args.flag("null") ? 0 : NEWLINE,
    headers: args.flag("show-headers"),
  };
  if (args.flag("json")) return new JsonView(terminal, options);
  const isTyped = args.list("message").length === 0 && args.value("file") === undefined &&
    Deno.stdin.isTerminal();
  return isTyped && Deno.stdout.isTerminal()
    ? new PromptView(terminal, options)
    : new PlainView(terminal, options);
}

type Options = Awaited<ReturnType<typeof outboundOptions>> & ReturnType<typeof sizeOptions>;

/** A conversation over one connection, or over several in a row. */
class Talk {
  readonly #args: Args;
  readonly #terminal: Terminal;
  readonly #view: View;
  readonly #input: Input;
  readonly #ctx = new Context();
  readonly #binary: boolean;
  readonly #linger: number;
  readonly #pingEvery: number;
  #conn: Connection | null = null;
  #received = 0;
  /** Whether the user needs no further connection. */
  #finished = false;
  /** Whether the user has closed the connection, with any code. */
  #asked = false;

  constructor(args: Args, terminal: Terminal, view: View) {
    this.#args = args;
    this.#terminal = terminal;
    this.#view = view;
    this.#binary = args.flag("binary");
    this.#linger = args.number("linger", 0.3) * 1000;
    this.#pingEvery = args.number("ping", 0) * 1000;
    if (args.list("message").length > 0 && args.value("file") !== undefined) {
      throw new UsageError("Options --message and --file exclude each other");
    }
    if (view instanceof PromptView) view.obey = (command) => this.#obey(view, command);
    this.#input = new Input(
      view instanceof PromptView
        ? view.lines()
        : standardInput({ binary: this.#binary, end: args.flag("null") ? 0 : NEWLINE }),
    );
    terminal.stopped().then(() => this.#stop());
  }

  /** Uses one connection; losing it is an error. */
  async once(url: string, options: Options): Promise<void> {
    const conn = this.#conn = typed(() =>
      this.#ctx.connect(url, { ...options, ...this.#handlers })
    );
    try {
      await conn.opened;
    } catch (error) {
      if (this.#terminal.isInterrupted) return;
      if (error instanceof HandshakeError && this.#args.flag("show-headers")) {
        this.#view.refused(error);
      }
      throw error;
    }
    await this.#over(conn);
    const close = await conn.closed;
    if (this.#args.flag("json")) this.#view.closed(close);
    if (this.#terminal.isInterrupted || this.#terminal.out.isGone) return;
    if (!isOrderly(close) && !this.#asked) throw new LostError(`Connection lost: ${close}`);
    if (!this.#args.flag("json")) this.#view.closed(close);
  }

  /** Uses one connection after the other, until the user stops. */
  async again(url: string, options: Options): Promise<void> {
    const stop = new AbortController();
    this.#terminal.stopped().then(() => stop.abort());
    const connections = typed(() =>
      this.#ctx.reconnect(url, {
        ...options,
        ...this.#handlers,
        signal: stop.signal,
        onError: () => {},
        onRetry: (error, delay) => this.#view.retry(error, delay),
      })
    );
    try {
      for await (const conn of connections) {
        this.#conn = conn;
        await this.#over(conn);
        if (this.#finished) break;
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    if (this.#conn !== null) this.#view.closed(await this.#conn.closed);
  }

  get #handlers() {
    return {
      onConnect: (conn: Connection) => this.#view.opened(conn),
      // The view's promise holds the connection while the output isn't read, which slows the server down.
      onMessage: (conn: Connection, data: ReceivedMessage) => {
        this.#received++;
        const written = this.#view.message(data);
        if (!this.#args.flag("one")) return written;
        this.#finished = true;
        conn.close();
      },
    };
  }

  /** Sends the messages over a connection, and waits for its end. */
  async #over(conn: Connection): Promise<void> {
    let failure: { error: unknown } | null = null;
    const stopPings = this.#pingEvery > 0 ? this.#pingAgain(conn) : () => {};
    this.#send(conn).then(async (isAll) => {
      if (!isAll || this.#args.flag("keep-open")) return;
      this.#finished = true;
      await this.#leave(conn);
    }).catch((error) => {
      failure = { error };
      this.#stop();
    });
    await conn.closed;
    stopPings();
    if (failure !== null) throw (failure as { error: unknown }).error;
  }

  /** Sends the messages; returns whether all were sent. If not, the connection has ended. */
  async #send(conn: Connection): Promise<boolean> {
    const messages = this.#args.list("message"), path = this.#args.value("file");
    if (path !== undefined) {
      const file = await openFile("file", path);
      await conn.sendStream(file.readable, { binary: this.#binary });
      return true;
    }
    for (const message of messages) {
      if (conn.state !== "open") return false;
      const isReady = this.#binary ? conn.sendBinary(message) : conn.send(message);
      if (!isReady) await conn.drained().catch(() => {});
    }
    return messages.length > 0 || await pump(conn, this.#input);
  }

  /** Closes when the server has received everything, and nothing has arrived for the time of `--linger`. */
  async #leave(conn: Connection): Promise<void> {
    await conn.drained().catch(() => {});
    await roundTrip(conn, ANSWER);
    for (let before = -1; before !== this.#received && conn.state === "open";) {
      before = this.#received;
      // Messages that wait for the output haven't been counted yet.
      await this.#terminal.out.flush();
      await within(this.#linger, conn.closed);
    }
    conn.close();
  }

  #pingAgain(conn: Connection): () => void {
    let stop = () => {};
    const wait = () => {
      stop = startTimer(this.#pingEvery, () => {
        wait();
        this.#ping(conn);
      });
    };
    wait();
    return () => stop();
  }

  async #ping(conn: Connection): Promise<void> {
    const ms = await roundTrip(conn);
    if (ms !== null) this.#view.roundTrip(ms);
  }

  /** Executes a command that was typed after a `/`. */
  #obey(view: PromptView, command: string): void {
    const [, name, code, reason = ""] = /^(\S*)(?:\s+(\S+))?(?:\s+(.*))?$/s.exec(command.trim())!;
    const conn = this.#conn;
    if (conn?.state !== "open") return view.say("not connected");
    if (name === "ping") {
      this.#ping(conn);
    } else if (name === "pause" || name === "resume") {
      conn[name]();
      view.say(name === "pause" ? "paused: nothing is read from the server" : "resumed");
    } else if (name === "close") {
      try {
        conn.close(code === undefined ? 1000 : Number(code), reason);
        this.#finished = this.#asked = true;
      } catch (error) {
        view.say((error as Error).message);
      }
    } else {
      view.say(name === "help" ? COMMANDS : `unknown command /${name}: ${COMMANDS}`);
    }
  }

  /** Closes, and terminates if the server doesn't answer. */
  #stop(): void {
    const conn = this.#conn;
    if (conn === null) return;
    this.#finished = true;
    conn.close();
    startTimer(CLOSE_TIMEOUT, () => conn.terminate());
  }
}

/** The round trip of a ping in ms; `null` if it can't be sent or isn't answered. */
async function roundTrip(conn: Connection, timeout?: number): Promise<number | null> {
  try {
    return await conn.ping(undefined, { timeout });
  } catch {
    return null;
  }
}
