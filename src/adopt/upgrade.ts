import { type Connection, makeConnection } from "../connection.ts";
import { Engine } from "../engine/engine.ts";
import type { HandshakeResult } from "../engine/handshake_result.ts";
import { abortError, HandshakeError } from "../errors.ts";
import { checkHeaders } from "../handshake/headers_option.ts";
import { chooseSubprotocol } from "../handshake/subprotocol.ts";
import { checkProtocols, parseProtocols } from "../handshake/token_list.ts";
import { HANDLERS, pickHandlers } from "../engine/handlers.ts";
import { resolveSettings } from "../connection_options.ts";
import { checkHandlers, limit, refusal } from "../util/check.ts";
import type { Settings } from "../engine/settings.ts";
import { LONGEST_DELAY } from "../util/timers.ts";
import { TRY_AGAIN_LATER } from "../protocol/close_code.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import type { Registry } from "../context/registry.ts";
import { DenoWebSocketTransport } from "../transport/deno_websocket.ts";
import type { UpgradeOptions, UpgradeResult } from "./upgrade_options.ts";

/** Turns a request of `Deno.serve` into a connection over `Deno.upgradeWebSocket`. */
export function upgrade<Data>(
  registry: Registry,
  request: Request,
  options: UpgradeOptions<Data>,
): UpgradeResult<Connection<Data>> {
  if (!(request instanceof Request)) {
    throw refusal("upgrade", request, "the Request of a Deno.serve handler");
  }
  checkHandlers("upgrade", options, [...HANDLERS, "selectProtocol"]);
  const all = resolveSettings("upgrade", options as UpgradeOptions, true);
  // Pings are the runtime's, by its idle timeout.
  const settings = { ...all, keepAlive: null, compression: null };
  const maxHeldBytes = limit("upgrade", "maxHeldBytes", options.maxHeldBytes, 1024 * 1024);
  const headers = checkHeaders(options.headers, "server");
  const protocol = chooseProtocol(request, options);
  const { socket, response } = Deno.upgradeWebSocket(request, {
    protocol: protocol === "" ? undefined : protocol,
    idleTimeout: idleTimeout(all.keepAlive),
  });
  socket.binaryType = "arraybuffer";
  for (const [name, value] of headers) response.headers.append(name, value);
  const facts: HandshakeResult = {
    protocol,
    extensions: "",
    compression: null,
    url: request.url.replace(/^http/, "ws"),
    request: () => request,
    requestFields: () => request.headers,
    responseHeaders: () => new Headers(response.headers),
  };
  const engine = new Engine(registry, "server", settings, pickHandlers(options));
  const connection = makeConnection(engine, {
    url: facts.url,
    home: registry,
    data: options.data as Data,
  });
  registry.connecting.add(engine);
  engine.cancel = () => socket.close();
  socket.onopen = () => {
    if (engine.state !== "connecting") {
      socket.close();
      return;
    }
    const transport = new DenoWebSocketTransport(socket);
    transport.onArrival = (waiting) => {
      // Without bounds is what somebody takes as it comes.
      if (waiting <= maxHeldBytes || engine.receiver.readBudget() === Infinity) return;
      engine.fail(
        new ProtocolError(
          TRY_AGAIN_LATER,
          "held-too-much",
          `More than ${maxHeldBytes} bytes arrived while the connection was held`,
        ),
      );
    };
    engine.open(transport, facts, null);
  };
  socket.onerror = socket.onclose = () => {
    engine.abandon(
      request.signal.aborted
        ? abortError("The request was aborted before the upgrade")
        : new HandshakeError("Cannot upgrade: the client left before the WebSocket was open"),
      true,
    );
  };
  return { response, connection };
}

/** Our keepalive as the runtime's, in seconds; 0 for none, which is also what it makes of what no timer of it can hold. */
function idleTimeout(keepAlive: Settings["keepAlive"]): number {
  if (keepAlive === null) return 0;
  const ms = keepAlive.interval + keepAlive.timeout;
  return ms > LONGEST_DELAY ? 0 : Math.max(1, Math.ceil(ms / 1000));
}

function chooseProtocol<Data>(request: Request, options: UpgradeOptions<Data>): string {
  const header = request.headers.get("sec-websocket-protocol");
  let offered: string[];
  try {
    offered = header === null ? [] : parseProtocols(header);
  } catch (cause) {
    throw new TypeError(`Cannot upgrade: ${(cause as Error).message}`, { cause });
  }
  const { selectProtocol } = options;
  const chosen = chooseSubprotocol(
    offered,
    checkProtocols(options.protocols),
    selectProtocol && (() => selectProtocol(offered, request)),
  );
  if (typeof chosen === "string") return chosen;
  chosen.catch(() => {});
  throw new TypeError("Cannot upgrade with a selectProtocol that returns a promise");
}
