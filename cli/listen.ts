import { type Connection, Context, type ReceivedMessage } from "../mod.ts";
import { quote } from "../src/util/quote.ts";
import { within } from "../src/util/timers.ts";
import { type Args, parseListen, type Spec } from "./args.ts";
import { Child } from "./child.ts";
import { failureOf, typed } from "./failure.ts";
import { address, excerpt, jsonMessage } from "./format.ts";
import { originOption, proxyOptions, serverTls, sizeOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT, UsageError } from "./usage.ts";

/** The options of `sluice listen`. */
export const spec: Spec = {
  values: ["exec", "hostname", "cert", "key", "max-size", "max-connections"],
  lists: ["subprotocol", "origin", "trust-proxy", "proxy-protocol"],
  flags: ["echo", "broadcast", "json", "compression", "verbose", "quiet"],
};

const SHUTDOWN_TIMEOUT = 2000;
/** How long a command may run after SIGTERM when the tool ends, in ms. */
const KILL_TIMEOUT = 500;
/** The default of `--max-connections` with `--exec`, since each command costs at least one process. */
const MOST_COMMANDS = 100;

interface Peer {
  readonly id: number;
  readonly address: string;
  child: Child | null;
}

/** Runs a server until Ctrl-C. */
export async function listen(args: Args, terminal: Terminal): Promise<number> {
  args.expect("PORT");
  const { hostname = args.value("hostname") ?? "127.0.0.1", port } = parseListen(
    args.positional[0],
  );
  const command = args.value("exec");
  const modes = [args.flag("echo"), args.flag("broadcast"), command !== undefined];
  if (modes.filter(Boolean).length > 1) {
    throw new UsageError("Options --echo, --broadcast and --exec exclude each other");
  }
  const broadcast = args.flag("broadcast"), json = args.flag("json");
  const verbose = args.flag("verbose");
  const most = args.number("max-connections", command === undefined ? 0 : MOST_COMMANDS, {
    whole: true,
  });
  const origins = originOption(args, command !== undefined, (origin) => {
    terminal.note(`refused a page of origin ${quote(origin, 200)}: see --origin`);
  });
  const options = {
    ...sizeOptions(args),
    ...await serverTls(args),
    ...proxyOptions(args),
    ...origins,
  };
  /** Running commands, which may outlive their connections for a while. */
  const children = new Set<Child>();
  let count = 0;
  const event = (object: Record<string, unknown>) => {
    if (json) terminal.event(object);
  };

  const show = (id: number, data: ReceivedMessage) => {
    if (json) return terminal.event({ id, ...jsonMessage(data) });
    return terminal.print(`${id} > ${excerpt(data)}`);
  };

  /** Starts a connection's command. */
  const start = (conn: Connection<Peer>, command: string) => {
    if (most > 0 && children.size >= most) {
      terminal.note(`${conn.data.id}: ${most} commands are running already`);
      return conn.close(1013, "too many commands are running");
    }
    try {
      const child = conn.data.child = new Child(conn, command, terminal);
      children.add(child);
      child.ended.then(() => children.delete(child));
    } catch (error) {
      terminal.error(`${command}: ${failureOf(error).message}`);
      conn.close(1011, "the command could not be started");
    }
  };

  await using ctx = new Context<Peer>();
  const listener = typed(() =>
    ctx.listen({
      ...options,
      hostname,
      port,
      protocols: args.list("subprotocol"),
      compression: args.flag("compression"),
      ...(most > 0 ? { maxConnections: most } : {}),
      onHandshake: (_request, info) => ({
        data: { id: ++count, address: address(info.remoteAddr), child: null },
      }),
      onConnect(conn) {
        const { id, address } = conn.data;
        event({ type: "open", id, address, url: conn.url, protocol: conn.protocol });
        terminal.note(`${id}: ${address} has connected`);
        if (command !== undefined) start(conn, command);
      },
      onMessage(conn, data) {
        const shown = verbose ? show(conn.data.id, data) : undefined;
        if (command !== undefined) return conn.data.child?.write(data);
        if (broadcast) ctx.broadcast(data, { except: conn, slow: "drop" });
        else echo(conn, data);
        return shown;
      },
      onDrain: (conn) => broadcast || command !== undefined ? undefined : conn.resume(),
      onClose(conn, close) {
        const { id, child } = conn.data;
        child?.end();
        event({ type: "close", id, code: close.code, reason: close.reason });
        terminal.note(`${id}: ${close}`);
      },
      onHandshakeError(error, info) {
        const { message } = error as Error;
        terminal.note(`handshake with ${address(info.remoteAddr)} failed: ${message}`);
      },
    })
  );
  if (json) event({ type: "listening", url: listener.url, port: listener.port });
  else terminal.print(`listening on ${listener.url}`);
  await terminal.stopped();
  await ctx.shutdown({ timeout: SHUTDOWN_TIMEOUT });
  const ended = Promise.all([...children].map((child) => child.ended));
  if (await within(SHUTDOWN_TIMEOUT, ended)) return EXIT.ok;
  for (const child of children) child.kill("SIGTERM");
  await within(KILL_TIMEOUT, ended);
  for (const child of children) child.kill("SIGKILL");
  return EXIT.ok;
}

/** Sends a message back. A peer that doesn't read its echoes isn't read either. */
function echo(conn: Connection<Peer>, data: string | Uint8Array): void {
  if (conn.state === "open" && !conn.send(data)) conn.pause();
}
