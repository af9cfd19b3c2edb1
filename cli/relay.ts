import { type CloseRecord, type Connection, Context, type PeerInfo } from "../mod.ts";
import { quote } from "../src/util/quote.ts";
import { type Args, parseListen, type Spec } from "./args.ts";
import { failureOf, typed } from "./failure.ts";
import { address, excerpt, jsonMessage } from "./format.ts";
import { CLIENT, clientOptions, originOption, serverTls, sizeOptions, urlOf } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { EXIT } from "./usage.ts";

/** The options of `sluice relay`. */
export const spec: Spec = {
  values: [...CLIENT.values, "cert", "key", "max-size", "max-connections"],
  lists: [...CLIENT.lists, "origin"],
  flags: [...CLIENT.flags, "verbose", "json", "quiet"],
};

const SHUTDOWN_TIMEOUT = 2000;
const MOST_PAIRS = 1000;
/** The time for a client's handshake, in ms, in addition to the time for connecting to the server. */
const HANDSHAKE = 10_000;

/** The `data` of a connection in a pair. */
interface Side {
  readonly id: number;
  /** `>` for messages of the client, `<` for messages of the server. */
  readonly arrow: string;
  other: Connection<Side> | null;
}

/** Relays connections until Ctrl-C. */
export async function relay(args: Args, terminal: Terminal): Promise<number> {
  args.expect("LISTEN", "URL");
  const { hostname = "127.0.0.1", port } = parseListen(args.positional[0]);
  const url = urlOf(args.positional[1]);
  const json = args.flag("json"), verbose = args.flag("verbose");
  const options = { ...await clientOptions(args), ...sizeOptions(args) };
  const most = args.number("max-connections", MOST_PAIRS, { whole: true }) || Infinity;
  // Every client of the relay uses the credentials and the network access of the user.
  const origins = originOption(args, true, (origin) => {
    terminal.note(`refused a page of origin ${quote(origin, 200)}: see --origin`);
  });
  const serving = { ...sizeOptions(args), ...await serverTls(args), ...origins };
  const offered = args.list("subprotocol");
  const waiting = new Map<PeerInfo, Connection<Side>>();
  const givenUp = new WeakSet<PeerInfo>();
  let count = 0, open = 0;

  const event = (object: Record<string, unknown>) => terminal.event(object);
  const show = ({ id, arrow }: Side, data: string | Uint8Array) => {
    if (json) return event({ id, from: arrow === ">" ? "client" : "server", ...jsonMessage(data) });
    return verbose ? terminal.print(`${id} ${arrow} ${excerpt(data)}`) : undefined;
  };

  /** The callbacks of both sides: a side isn't read while the other one's queue is above its high-water mark. */
  const handlers = {
    onMessage(conn: Connection<Side>, data: string | Uint8Array) {
      const { other } = conn.data;
      if (other?.state === "open" && !other.send(data)) conn.pause();
      return show(conn.data, data);
    },
    onDrain: (conn: Connection<Side>) => conn.data.other?.resume(),
    onClose(conn: Connection<Side>, close: CloseRecord) {
      const { id, arrow, other } = conn.data;
      if (other !== null) passClose(other, close);
      if (arrow === "<") return;
      if (json) event({ id, type: "close", code: close.code, reason: close.reason });
      const { messagesReceived, messagesSent } = conn.stats();
      terminal.note(`${id}: ${close} (${messagesReceived} messages >, ${messagesSent} <)`);
    },
  };

  await using ctx = new Context<Side>();
  // An invalid option is reported before the first connection.
  typed(() => {
    const data: Side = { id: 0, arrow: "<", other: null };
    const trial = ctx.connect(url, { ...options, data, signal: AbortSignal.abort() });
    return trial.closed;
  });
  const listener = typed(() =>
    ctx.listen({
      ...serving,
      ...handlers,
      hostname,
      port,
      compression: options.compression,
      handshakeTimeout: options.connectTimeout && options.connectTimeout + HANDSHAKE,
      async onHandshake(request, info) {
        // Refuse before a connection to the server is made.
        if (open >= most) return new Response("Too many connections\n", { status: 503 });
        const id = ++count;
        const asked = request.headers.get("sec-websocket-protocol");
        const protocols = asked === null ? offered : asked.split(",").map((name) => name.trim());
        const data: Side = { id, arrow: "<", other: null };
        const upstream = ctx.connect(url, { ...options, ...handlers, protocols, data });
        open++;
        upstream.closed.then(() => open--);
        // Messages wait until there is a connection to relay them to.
        upstream.pause();
        try {
          await upstream.opened;
        } catch (error) {
          const { message } = failureOf(error);
          terminal.note(`${id}: ${message}`);
          return new Response(`${message}\n`, { status: 502 });
        }
        // The client may have disconnected, or its handshake may have timed out.
        if (givenUp.has(info)) upstream.close();
        else waiting.set(info, upstream);
        upstream.closed.then(() => waiting.delete(info));
        const protocol = asked === null ? {} : { protocol: upstream.protocol };
        terminal.note(`${id}: ${address(info.remoteAddr)} has connected`);
        return { ...protocol, data: { id, arrow: ">", other: upstream } };
      },
      onConnect(conn) {
        const upstream = conn.data.other!;
        for (const [info, other] of waiting) if (other === upstream) waiting.delete(info);
        upstream.data.other = conn;
        upstream.resume();
        // The server may have closed in the meantime.
        if (upstream.state !== "open") upstream.closed.then((close) => passClose(conn, close));
      },
      onHandshakeError(_, info) {
        givenUp.add(info);
        waiting.get(info)?.close();
        waiting.delete(info);
      },
    })
  );
  if (json) event({ type: "listening", url: listener.url, port: listener.port });
  else terminal.print(`listening on ${listener.url}`);
  await terminal.stopped();
  await ctx.shutdown({ timeout: SHUTDOWN_TIMEOUT });
  return EXIT.ok;
}

/** Ends one side in the same way as the other. */
function passClose(conn: Connection<Side>, { code, reason }: CloseRecord): void {
  if (code === 1006 || code === 1015) conn.terminate();
  else if (code === 1005) conn.close();
  else conn.close(code, reason);
}
