import { isValidKey } from "./accept_key.ts";
import { show } from "../util/show.ts";
import { type Extension, parseExtensions } from "./extension_list.ts";
import type { Field } from "./headers_option.ts";
import { Refusal } from "./refusal.ts";
import type { RequestHead } from "./request_head.ts";
import { listContains, parseProtocols } from "./token_list.ts";

/** The contents of a client's valid opening handshake. */
export interface Upgrade {
  /** The key to answer; `""` over HTTP/2, which has none (RFC 8441 5). */
  key: string;
  /** The subprotocols that it offers, in its order of preference. */
  protocols: string[];
  /** The extensions that it offers, in its order of preference. */
  extensions: Extension[];
  /** The value of `Origin`, or `null` if there is none: the client isn't a browser. */
  origin: string | null;
  /** Path and query of the target. */
  path: string;
  /** The requested authority. */
  host: string;
}

/**
 * A 426 must name the protocol to upgrade to (RFC 9110 15.5.22), and a sender of `Upgrade` must list it in `Connection`
 * (7.8). There `close` still means that the connection ends.
 */
const UPGRADE_REQUIRED: readonly Field[] = [
  ["Upgrade", "websocket"],
  ["Connection", "close, Upgrade"],
];

/**
 * Says whether a request asks for a WebSocket, validly or not. In HTTP/1.0 an `Upgrade` must be ignored (RFC 9110 7.8).
 *
 * @param head The request.
 * @returns Whether {@linkcode readUpgrade} has to check it, and not the application's HTTP handler.
 */
export function isUpgradeRequest(head: RequestHead): boolean {
  return head.version !== "1.0" && listContains(head.fields.get("upgrade"), "websocket") &&
    listContains(head.fields.get("connection"), "upgrade");
}

/**
 * Checks a client's opening handshake (RFC 6455 4.2.1). The order of the checks makes the first error the most helpful one:
 * not a WebSocket request, wrong method, wrong version, and only then malformed fields. A missing `Host` comes first,
 * since it must be answered with 400 in any case (RFC 9112 3.2).
 *
 * @param head The request.
 * @returns The contents of the handshake.
 * @throws {Refusal} With the status and headers of the response.
 */
export function readUpgrade(head: RequestHead): Upgrade {
  const fields = head.fields;
  if (head.version !== "1.0" && !fields.has("host")) {
    throw new Refusal(400, "The request has no Host");
  }
  if (!isUpgradeRequest(head)) {
    throw new Refusal(426, "This is a WebSocket endpoint, the request must upgrade", {
      headers: UPGRADE_REQUIRED,
      isUpgrade: false,
    });
  }
  if (head.method !== "GET") {
    throw new Refusal(405, `A WebSocket handshake is a GET, not ${show(head.method)}`, {
      headers: [["Allow", "GET"]],
    });
  }
  // An unsupported version, or none, is answered with the supported one (4.2.2).
  const version = fields.get("sec-websocket-version");
  if (version !== "13") {
    throw new Refusal(426, `The WebSocket version must be 13, not ${show(version)}`, {
      headers: [["Sec-WebSocket-Version", "13"], ...UPGRADE_REQUIRED],
    });
  }
  const host = head.host;
  if (host === null || host === "") {
    throw new Refusal(400, "The handshake has no Host");
  }
  const isHttp2 = head.version === "2";
  const key = isHttp2 ? "" : fields.get("sec-websocket-key");
  if (key === null || (!isHttp2 && !isValidKey(key))) {
    throw new Refusal(400, `The handshake has no valid Sec-WebSocket-Key: ${show(key)}`);
  }
  // The bytes after the head are frames. We would read a body as frames, and a proxy could read frames as a body.
  const length = fields.get("content-length");
  if (fields.has("transfer-encoding") || (length !== null && Number(length) !== 0)) {
    throw new Refusal(400, "The handshake has a body");
  }
  if (fields.count("origin") > 1) throw new Refusal(400, "The handshake has more than one Origin");
  return {
    key,
    protocols: readList(fields.get("sec-websocket-protocol"), parseProtocols),
    extensions: readList(fields.get("sec-websocket-extensions"), parseExtensions),
    origin: fields.get("origin"),
    path: head.path,
    host,
  };
}

function readList<Item>(list: string | null, parse: (list: string) => Item[]): Item[] {
  if (list === null) return [];
  try {
    return parse(list);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refusal(400, error.message);
    throw error;
  }
}
