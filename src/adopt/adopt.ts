import type { AdoptOptions } from "./adopt_options.ts";
import { type AdoptSource, isEncrypted, takeOver } from "./adopt_source.ts";
import { resolveConnect } from "../client/connect_options.ts";
import { type Connection, makeConnection } from "../connection.ts";
import { type CodecSettings, codecSettings, readAgreement } from "../deflate/negotiation.ts";
import { Dial } from "../client/dial.ts";
import { Engine } from "../engine/engine.ts";
import { abortError } from "../errors.ts";
import {
  type HandshakeResult,
  makeRequest,
  OutsideHandshakeResult,
} from "../engine/handshake_result.ts";
import { checkExtensions, formatExtensions } from "../handshake/extension_list.ts";
import { PendingHandshake } from "../server/pending_handshake.ts";
import type { PeerInfo } from "../server/peer_info.ts";
import { type ListenOptionsOf, resolveListen } from "../server/listen_options.ts";
import { type Handlers, pickHandlers } from "../engine/handlers.ts";
import type { Settings } from "../engine/settings.ts";
import { type ConnectionOptions, resolveSettings } from "../connection_options.ts";
import type { Registry } from "../context/registry.ts";
import { formatRequestHead } from "../handshake/format_request.ts";
import { parseRequestHead } from "../handshake/request_head.ts";
import { withWebSocketScheme } from "../handshake/url.ts";
import type { HeldWatch } from "../transport/node_stream.ts";
import { closeQuietly } from "../transport/stream_io.ts";
import { choice, flag, refusal } from "../util/check.ts";
import type { Transport } from "../transport/transport.ts";
import { copyOf, NOTHING } from "../util/bytes.ts";

/** Takes over an open byte stream. If it throws, the stream is untouched. */
export function adopt<Data>(
  registry: Registry,
  source: AdoptSource,
  options: AdoptOptions<Data>,
): Connection<Data> {
  const role = choice("adopt", "role", options.role, ["server", "client"]);
  checkAdoptOptions(options);
  if (!flag("adopt", "handshake", options.handshake, true)) {
    return adoptOpen(registry, source, options, role);
  }
  return role === "server"
    ? adoptServer(registry, source, options)
    : adoptClient(registry, source, options);
}

function checkAdoptOptions<Data>(
  { initialData, url, protocol, request }: AdoptOptions<Data>,
): void {
  if (initialData !== undefined && !(initialData instanceof Uint8Array)) {
    throw refusal("adopt with initialData", initialData, "a Uint8Array");
  }
  if (url !== undefined && typeof url !== "string" && !(url instanceof URL)) {
    throw refusal("adopt with url", url, "a string or a URL");
  }
  if (protocol !== undefined && typeof protocol !== "string") {
    throw refusal("adopt with protocol", protocol, "a string");
  }
  const isRequest = request instanceof Request || Array.isArray(request?.rawHeaders);
  if (request !== undefined && !isRequest) {
    throw refusal("adopt with request", request, "a Request, or one of node:http");
  }
}

/** The checked options of connections whose handshakes are done elsewhere; made once for many connections. */
export interface OpenTerms {
  /** Their settings. */
  readonly settings: Settings;
  /** Their callbacks. */
  readonly handlers: Handlers;
  /** What the last handshake of a role said; that of the next connection mostly says the same. */
  last: { readonly role: "server" | "client"; readonly result: HandshakeResult } | null;
}

/** The properties of one such connection. */
export interface OpenFacts<Data> {
  /** Our role. */
  readonly role: "server" | "client";
  /** The URL; `""` if it isn't known. */
  readonly url: string;
  /** The subprotocol; `""` for none. */
  readonly protocol: string;
  /** The extensions in force, as `Sec-WebSocket-Extensions` names them; `""` for none. */
  readonly extensions: string;
  /** Bytes that came after the handshake. */
  readonly initialData: Uint8Array;
  /** The `data` of the connection. */
  readonly data: Data;
}

/**
 * Checks options that several connections share.
 *
 * @param textAsBytes Whether text that wasn't compressed is delivered as bytes, and `onMessage` gets headers.
 */
export function openTerms(options: ConnectionOptions, textAsBytes = false): OpenTerms {
  const settings = { ...resolveSettings("adopt", options), textAsBytes };
  return { settings, handlers: pickHandlers(options), last: null };
}

/** Takes over a stream whose handshake was done elsewhere, with options that are shared with other connections. */
export function adoptOnTerms<Data>(
  registry: Registry,
  source: AdoptSource,
  terms: OpenTerms,
  facts: OpenFacts<Data>,
): Connection<Data> {
  const { role, url, initialData, data } = facts;
  const engine = makeEngine(registry, role, terms.settings, terms.handlers, url, data);
  const result = resultOf(terms, facts);
  const watch = isEncrypted(source) ? watchOver(engine) : undefined;
  engine.open(takeOver(source, undefined, watch), result, copyOf(initialData), true);
  return engine.face;
}

function resultOf<Data>(terms: OpenTerms, facts: OpenFacts<Data>): HandshakeResult {
  const { role, url, protocol, extensions } = facts, { last, settings } = terms;
  if (
    last !== null && last.role === role && last.result.url === url &&
    last.result.protocol === protocol && last.result.extensions === extensions
  ) return last.result;
  const agreement = extensions === "" ? null : readAgreement(checkExtensions([extensions]));
  const compression = agreement && codecSettings(agreement, role, settings.compression!);
  const result = new OutsideHandshakeResult(url, protocol, extensions, compression);
  terms.last = { role, result };
  return result;
}

function makeEngine<Data>(
  registry: Registry,
  role: "server" | "client",
  settings: Settings,
  handlers: Handlers,
  url: string,
  data: Data,
): Engine {
  const engine = new Engine(registry, role, settings, handlers);
  makeConnection(engine, { url, home: registry, data });
  return engine;
}

function newEngine<Data>(
  registry: Registry,
  role: "server" | "client",
  options: AdoptOptions<Data>,
  url: string,
): Engine {
  const { settings, handlers } = openTerms(options as AdoptOptions);
  return makeEngine(registry, role, settings, handlers, url, options.data as Data);
}

/** The handshake was done elsewhere. */
function adoptOpen<Data>(
  registry: Registry,
  source: AdoptSource,
  options: AdoptOptions<Data>,
  role: "server" | "client",
): Connection<Data> {
  const { extensions = [], request, url = "" } = options;
  const agreed = checkExtensions(typeof extensions === "string" ? [extensions] : extensions);
  // The agreement of the handshake applies even if the option wasn't given.
  const agreement = readAgreement(agreed);
  const compression = agreement === null ? false : options.compression || true;
  const engine = newEngine(registry, role, { ...options, compression }, String(url));
  const result = outsideResult(
    request,
    isEncrypted(source),
    String(url),
    options.protocol ?? "",
    formatExtensions(agreed),
    agreement && codecSettings(agreement, role, engine.settings.compression!),
  );
  const transport = takeOver(source, undefined, watchOver(engine));
  engine.open(transport, result, copyOf(options.initialData ?? NOTHING), true);
  return engine.face;
}

/** Makes the result of an outside handshake. Apart from `adoptOpen`, so that its closures don't keep all options alive. */
function outsideResult(
  request: AdoptOptions["request"],
  secure: boolean,
  url: string,
  protocol: string,
  extensions: string,
  compression: CodecSettings | null,
): HandshakeResult {
  if (request === undefined) {
    return new OutsideHandshakeResult(url, protocol, extensions, compression);
  }
  const head = request instanceof Request ? null : formatRequestHead(request);
  return {
    protocol,
    extensions,
    compression,
    url: url !== "" ? url : webSocketUrl(request, head, secure),
    request: () => head === null ? request as Request : makeRequest(head, secure),
    requestFields: () =>
      head === null ? (request as Request).headers : parseRequestHead(head, Infinity).fields,
    responseHeaders: () => new Headers(),
  };
}

function adoptServer<Data>(
  registry: Registry,
  source: AdoptSource,
  options: AdoptOptions<Data>,
): Connection<Data> {
  const { request, initialData = NOTHING } = options;
  const settings = resolveListen(
    { ...options, handler: undefined } as ListenOptionsOf<Data>,
    "adopt",
  );
  const head = request === undefined ? null : formatRequestHead(request);
  const secure = isEncrypted(source) ||
    (request instanceof Request && new URL(request.url).protocol === "https:");
  const engine = newEngine(registry, "server", options, "");
  // If the caller has read the head, the initial data is the frames after it.
  const frames = head === null ? NOTHING : copyOf(initialData);
  const transport = takeOver(
    source,
    head === null ? initialData : undefined,
    watchOver(engine),
  );
  const info = peerInfo(transport);
  const incoming = new PendingHandshake<Data>(transport, info, settings, registry.timers);
  incoming.use(transport, secure);
  registry.connecting.add(engine);
  engine.cancel = () => incoming.abort(503, abortError("The handshake was cancelled"));
  incoming.pass({
    stages: [
      // Callbacks must not be called before the next microtask.
      () => Promise.resolve(),
      () => head === null ? incoming.readHead() : incoming.take(head, frames),
      () => incoming.decide(),
      () => incoming.accept(),
      () => {
        if (engine.state !== "connecting") throw abortError("The handshake was cancelled");
        const { decision: { data, result }, early } = incoming;
        if (data !== undefined) engine.face.data = data;
        incoming.leave();
        engine.open(transport, result, early);
      },
    ],
    failed: (_, reason) => engine.abandon(reason, true),
    over() {},
  });
  return engine.face;
}

function adoptClient<Data>(
  registry: Registry,
  source: AdoptSource,
  options: AdoptOptions<Data>,
): Connection<Data> {
  const { url, extensions } = options;
  if (url === undefined) {
    throw new TypeError("Cannot adopt as a client without url: the handshake asks for it");
  }
  const offered = typeof extensions === "string" ? [extensions] : extensions;
  const { signal } = options;
  const settings = resolveConnect(
    url,
    { ...options, extensions: offered } as AdoptOptions & {
      extensions: typeof offered;
    },
    "adopt",
  );
  const engine = newEngine(registry, "client", options, settings.target.href);
  // Made before the stream is taken over, since it checks the request.
  const dial = new Dial(engine, settings);
  const transport = takeOver(source, options.initialData, watchOver(engine));
  dial.useTransport(transport);
  registry.connecting.add(engine);
  queueMicrotask(() => {
    if (signal?.aborted) {
      engine.abandon(abortError("The handshake was aborted", signal.reason), false);
      closeQuietly(transport);
    } else if (engine.state === "connecting") dial.run();
    else closeQuietly(transport);
  });
  return engine.face;
}

/** Ends the connection if its stream receives too much while it isn't read. */
function watchOver(engine: Engine): HeldWatch {
  return {
    timers: engine.owner.timers,
    exceeded: (error) => {
      if (engine.state === "connecting") engine.abandon(error, true);
      else engine.readFailed(error);
    },
  };
}

function webSocketUrl(
  request: AdoptOptions["request"],
  head: string | null,
  secure: boolean,
): string {
  const { url } = head === null ? request as Request : makeRequest(head, secure);
  return withWebSocketScheme(url);
}

const UNKNOWN: Deno.Addr = { transport: "unix", path: "" };

function peerInfo(transport: Transport): PeerInfo {
  return {
    remoteAddr: transport.remoteAddr ?? UNKNOWN,
    localAddr: transport.localAddr ?? UNKNOWN,
  };
}
