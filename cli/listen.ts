import { type Connection, Context } from "../mod.ts";
import { type Args, parsePort, type Spec } from "./args.ts";
import { Child } from "./child.ts";
import { typed } from "./failure.ts";
import { address } from "./format.ts";
import { serverTls, sizeOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT, UsageError } from "./usage.ts";

/** The options of `sluice listen`. */
export const spec: Spec = {
  values: ["exec", "hostname", "cert", "key", "max-size"],
  lists: ["subprotocol"],
  flags: ["echo", "broadcast", "json", "compression", "quiet"],
};

const PATIENCE = 2000;

interface Peer {
  readonly id: number;
  readonly address: string;
  child: Child | null;
}

/** A server until Ctrl-C. */
export async function listen(args: Args, terminal: Terminal): Promise<number> {
  args.expect("PORT");
  const port = parsePort(args.positional[0]);
  const command = args.value("exec");
  const modes = [args.flag("echo"), args.flag("broadcast"), command !== undefined];
  if (modes.filter(Boolean).length > 1) {
    throw new UsageError("Options --echo, --broadcast and --exec exclude each other");
  }
  const broadcast = args.flag("broadcast"), json = args.flag("json");
  const options = { ...sizeOptions(args), ...await serverTls(args) };
  let count = 0;
  const event = (object: Record<string, unknown>) => {
    if (json) terminal.out.line(JSON.stringify(object));
  };

  await using ctx = new Context<Peer>();
  const listener = typed(() =>
    ctx.listen({
      ...options,
      hostname: args.value("hostname") ?? "127.0.0.1",
      port,
      protocols: args.list("subprotocol"),
      compression: args.flag("compression"),
      onHandshake: (_request, info) => ({
        data: { id: ++count, address: address(info.remoteAddr), child: null },
      }),
      onConnect(conn) {
        const { id, address } = conn.data;
        event({ type: "open", id, address, url: conn.url, protocol: conn.protocol });
        terminal.note(`${id}: ${address} has connected`);
        if (command !== undefined) conn.data.child = new Child(conn, command, terminal);
      },
      onMessage(conn, data) {
        if (command !== undefined) return conn.data.child?.write(data);
        if (broadcast) ctx.broadcast(data, { except: conn, slow: "drop" });
        else echo(conn, data);
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
        terminal.note(`no handshake with ${address(info.remoteAddr)}: ${message}`);
      },
    })
  );
  if (json) event({ type: "listening", url: listener.url, port: listener.port });
  else terminal.out.line(`listening on ${listener.url}`);
  await terminal.stopped();
  const children = [...ctx.connections].map((conn) => conn.data.child);
  await ctx.shutdown({ timeout: PATIENCE });
  for (const child of children) child?.kill();
  return EXIT.ok;
}

/** Sends back; a peer that doesn't read its echoes is not read either. */
function echo(conn: Connection<Peer>, data: string | Uint8Array): void {
  if (conn.state === "open" && !conn.send(data)) conn.pause();
}
