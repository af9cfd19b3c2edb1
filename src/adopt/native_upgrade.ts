import { type Connection, makeConnection } from "../connection.ts";
import { Engine } from "../engine/engine.ts";
import type { HandshakeResult } from "../engine/handshake_result.ts";
import { abortError, HandshakeError, TimeoutError } from "../errors.ts";
import { checkHeaders } from "../handshake/headers_option.ts";
import { checkOriginRule, originAllowed, type OriginRule } from "../handshake/origin.ts";
import { Refusal } from "../handshake/refusal.ts";
import { chooseSubprotocol } from "../handshake/subprotocol.ts";
import { checkProtocols, parseProtocols } from "../handshake/token_list.ts";
import { withWebSocketScheme } from "../handshake/url.ts";
import { HANDLERS, pickHandlers } from "../engine/handlers.ts";
import { resolveSettings } from "../connection_options.ts";
import { warnMissingOriginCheck } from "../server/origin_warning.ts";
import { checkHandlers, limit, timeLimit } from "../util/check.ts";
import type { Settings } from "../engine/settings.ts";
import { CallbackTimer, LONGEST_DELAY } from "../util/timers.ts";
import { TRY_AGAIN_LATER } from "../protocol/close_code.ts";
import { violation } from "../protocol/protocol_error.ts";
import type { Registry } from "../context/registry.ts";
import { DenoWebSocketTransport } from "../transport/deno_websocket.ts";
import { type UpgradeOptions, type UpgradeResult, withoutFrames } from "./upgrade_options.ts";

/** Upgrades a request of `Deno.serve` by `Deno.upgradeWebSocket`. */
export function nativeUpgrade<Data>(
  registry: Registry,
  request: Request,
  given: UpgradeOptions<Data>,
): UpgradeResult<Connection<Data>> {
  const options = withoutFrames(given);
  checkHandlers("upgrade", options, [...HANDLERS, "selectProtocol"]);
  const all = resolveSettings("upgrade", options as UpgradeOptions);
  // The runtime sends pings, by its idle timeout.
  const settings = { ...all, keepAlive: null, messagesOnly: true };
  const maxHeldBytes = limit("upgrade", "maxHeldBytes", options.maxHeldBytes, 1024 * 1024);
  const timeout = timeLimit("upgrade", "handshakeTimeout", options.handshakeTimeout, 10_000);
  const headers = checkHeaders(options.headers, "server");
  const url = withWebSocketScheme(request.url);
  const engine = new Engine(registry, "server", settings, pickHandlers(options));
  const connection = makeConnection(engine, { url, home: registry, data: options.data as Data });
  if (!isWelcome(request, options.origins)) {
    return { response: refuse(registry, engine), connection };
  }
  const protocol = chooseProtocol(request, options);
  const { socket, response } = Deno.upgradeWebSocket(request, {
    protocol: protocol === "" ? undefined : protocol,
    idleTimeout: idleTimeout(all.keepAlive),
  });
  socket.binaryType = "arraybuffer";
  for (const [name, value] of headers) response.headers.append(name, value);
  const result: HandshakeResult = {
    protocol,
    extensions: "",
    compression: null,
    url,
    request: () => request,
    requestFields: () => request.headers,
    responseHeaders: () => new Headers(response.headers),
  };
  registry.connecting.add(engine);
  engine.cancel = () => socket.close();
  // If the response isn't returned, or the client has left, the socket has no event.
  const timer = new CallbackTimer(() => {
    engine.abandon(new TimeoutError(`The response wasn't sent within ${timeout} ms`), true);
    socket.close();
  });
  registry.timers.set(timer, timeout);
  socket.onopen = () => {
    registry.timers.clear(timer);
    if (engine.state !== "connecting") {
      socket.close();
      return;
    }
    const transport = new DenoWebSocketTransport(socket);
    transport.onArrival = (waiting) => {
      // There is no limit while messages are consumed as they arrive.
      if (waiting <= maxHeldBytes || engine.receiver.readBudget() === Infinity) return;
      engine.fail(
        violation(
          TRY_AGAIN_LATER,
          "held-too-much",
          `More than ${maxHeldBytes} bytes arrived while the connection was held`,
        ),
      );
    };
    engine.open(transport, result, null);
  };
  socket.onerror = socket.onclose = () => {
    registry.timers.clear(timer);
    engine.abandon(
      request.signal.aborted
        ? abortError("The request was aborted before the upgrade")
        : new HandshakeError(
          "Cannot upgrade: the client disconnected before the WebSocket was open",
        ),
      true,
    );
  };
  return { response, connection };
}

/** Converts keepalive to the runtime's idle timeout, in seconds; 0 for none, and for times that are too long for it. */
function idleTimeout(keepAlive: Settings["keepAlive"]): number {
  if (keepAlive === null) return 0;
  const ms = keepAlive.interval + keepAlive.timeout;
  return ms > LONGEST_DELAY ? 0 : Math.max(1, Math.ceil(ms / 1000));
}

/** Whether the origin is allowed. It has to be decided synchronously, since the response is returned synchronously. */
function isWelcome(request: Request, origins: OriginRule | undefined): boolean {
  const rule = origins === undefined ? null : checkOriginRule(origins);
  if (rule === null) {
    if (request.headers.has("cookie")) warnMissingOriginCheck();
    return true;
  }
  const verdict = originAllowed(rule, request.headers.get("origin"));
  if (typeof verdict === "boolean") return verdict;
  verdict.then(undefined, () => {});
  throw new TypeError("Cannot upgrade with origins that return a promise: decide before the call");
}

/** Fails a connection that is refused, in a microtask, so that the caller has it first. */
function refuse(registry: Registry, engine: Engine): Response {
  const refusal = new Refusal(403, "The origin is not allowed");
  registry.connecting.add(engine);
  queueMicrotask(() => engine.abandon(refusal.error, true));
  return new Response(refusal.message, { status: refusal.status });
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
