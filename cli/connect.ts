import { type Connection, Context, type ReceivedMessage } from "../mod.ts";
import { isOrderly } from "../src/protocol/close_record.ts";
import { printable } from "../src/util/quote.ts";
import { startTimer, within } from "../src/util/timers.ts";
import type { Args, Spec } from "./args.ts";
import { LostError, typed } from "./failure.ts";
import { hexLine, jsonMessage } from "./format.ts";
import { lines, oneLine } from "./lines.ts";
import { CLIENT, clientOptions, sizeOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT } from "./usage.ts";

/** The options of `sluice connect`. */
export const spec: Spec = {
  values: [...CLIENT.values, "linger", "ping", "max-size"],
  lists: CLIENT.lists,
  flags: [...CLIENT.flags, "binary", "json", "keep-open", "quiet"],
};

const PATIENCE = 2000;
/** How long the last ping may take, behind everything that was sent. */
const ANSWER = 60_000;

/** Sends the lines of standard input, and prints what arrives. */
export async function connect(args: Args, terminal: Terminal): Promise<number> {
  args.expect("URL");
  const [url] = args.positional;
  const { out } = terminal;
  const binary = args.flag("binary"), json = args.flag("json");
  const linger = args.number("linger", 0.3) * 1000;
  const pingEvery = args.number("ping", 0) * 1000;
  const options = { ...await clientOptions(args), ...sizeOptions(args) };
  const event = (object: Record<string, unknown>) => terminal.event(object);
  // A server's text must not steer the terminal; a pipe gets it as it is.
  const tame = Deno.stdout.isTerminal();
  let received = 0;
  let stopPings = () => {};
  const print = (data: ReceivedMessage) => {
    received++;
    if (json) return event(jsonMessage(data));
    if (typeof data === "string") return out.line(tame ? printable(oneLine(data)) : oneLine(data));
    return binary ? out.write(data.slice()) : out.line(hexLine(data));
  };

  const ctx = new Context();
  // Returning what `print` returns holds the connection, and through TCP the server, while our output isn't read.
  const conn = typed(() =>
    ctx.connect(url, { ...options, onConnect: greet, onMessage: (_, data) => print(data) })
  );
  terminal.stopped().then(() => stop(conn));
  const opened = await conn.opened.then(() => true, (error) => {
    if (terminal.isInterrupted) return false;
    throw error;
  });
  if (opened) {
    if (pingEvery > 0) pingAgain();
    let inputError: unknown;
    pump(conn, binary).then(async () => {
      if (!args.flag("keep-open")) await leave();
    }).catch((error) => {
      inputError = error;
      stop(conn);
    });
    await conn.closed;
    stopPings();
    if (inputError !== undefined) throw inputError;
  }
  const close = await conn.closed;
  if (json && opened) {
    const { code, reason, wasClean, unsentMessages, undelivered } = close;
    event({ type: "close", code, reason, wasClean, unsentMessages, undelivered });
  }
  if (terminal.isInterrupted) return EXIT.interrupted;
  if (out.isGone) return EXIT.ok;
  if (!isOrderly(close)) throw new LostError(`Connection lost: ${close}`);
  terminal.note(`closed: ${close}`);
  return EXIT.ok;

  function greet({ url, protocol, extensions }: Connection) {
    if (json) event({ type: "open", url, protocol, extensions });
    const agreed = [protocol && `subprotocol ${protocol}`, extensions].filter(Boolean).join(", ");
    terminal.note(`connected to ${url}${agreed && ` (${agreed})`}`);
  }

  function pingAgain() {
    stopPings = startTimer(pingEvery, () => {
      pingAgain();
      ping();
    });
  }

  async function ping() {
    const roundTrip = await pong();
    if (roundTrip === null) return;
    if (json) event({ type: "ping", roundTrip });
    else terminal.note(`ping: ${roundTrip.toFixed(2)} ms`);
  }

  /** The time that a ping takes; `null` if none can be sent, as while the connection closes, or none is answered. */
  async function pong(timeout?: number): Promise<number | null> {
    try {
      return await conn.ping(undefined, { timeout });
    } catch {
      return null;
    }
  }

  /** Closes when the server has seen all, and has had the time to answer. */
  async function leave() {
    await conn.drained().catch(() => {});
    await pong(ANSWER);
    for (let before = -1; before !== received && conn.state === "open";) {
      before = received;
      // What waits for an output that isn't read hasn't been counted yet.
      await out.flush();
      await within(linger, conn.closed);
    }
    conn.close();
  }
}

/** Sends lines as fast as the server takes them, and no faster. */
async function pump(conn: Connection, binary: boolean): Promise<void> {
  const decoder = new TextDecoder();
  for await (const line of lines(Deno.stdin.readable)) {
    if (conn.state !== "open") return;
    if (!conn.send(binary ? line : decoder.decode(line))) await conn.drained().catch(() => {});
  }
}

/** Closes; a server that doesn't answer isn't waited for. */
function stop(conn: Connection): void {
  conn.close();
  startTimer(PATIENCE, () => conn.terminate());
}
