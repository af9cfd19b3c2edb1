import { isValidKey } from "./accept_key.ts";
import { show } from "../util/show.ts";
import { type Extension, parseExtensions } from "./extension_list.ts";
import type { Field } from "./headers_option.ts";
import { Refusal } from "./refusal.ts";
import type { RequestHead } from "./request_head.ts";
import { listContains, parseProtocols } from "./token_list.ts";

/** What a client asks for in a valid opening handshake. */
export interface Upgrade {
  /** Its key, to be answered. */
  key: string;
  /** The subprotocols that it offers, in its order of preference. */
  protocols: string[];
  /** The extensions that it offers, in its order of preference. */
  extensions: Extension[];
  /** The origin of the page that asks, or `null` if it isn't a page. */
  origin: string | null;
  /** Path and query of the target. */
  path: string;
  /** The authority that is asked for. */
  host: string;
}

/**
 * RFC 9110 15.5.22: a 426 must say what to upgrade to; and 7.8: a sender of `Upgrade` must list it in `Connection`,
 * in which `close` keeps the meaning that this connection ends here.
 */
const UPGRADE_REQUIRED: readonly Field[] = [
  ["Upgrade", "websocket"],
  ["Connection", "close, Upgrade"],
];

/**
 * Says whether a request asks for a WebSocket at all, validly or not. In HTTP/1.0 an `Upgrade` must
 * be ignored (RFC 9110 7.8).
 *
 * @param head The request.
 * @returns Whether {@linkcode readUpgrade} should answer it, and not the application's HTTP handler.
 */
export function isUpgradeRequest(head: RequestHead): boolean {
  return head.version !== "1.0" && listContains(head.fields.get("upgrade"), "websocket") &&
    listContains(head.fields.get("connection"), "upgrade");
}

/**
 * Checks a client's opening handshake (RFC 6455 4.2.1), its fields in an order in which the first complaint is the
 * one that helps: not a WebSocket request at all, wrong method, wrong version, and only then what is malformed. A missing
 * `Host` comes before all of them, since nothing else may be answered then (RFC 9112 3.2).
 *
 * @param head The request.
 * @returns What the client asks for.
 * @throws {Refusal} With the status and headers to answer with.
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
  // 4.2.2: a version we don't speak is answered with those that we do; an absent one is no better.
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
  const key = fields.get("sec-websocket-key");
  if (key === null || !isValidKey(key)) {
    throw new Refusal(400, `The handshake has no valid Sec-WebSocket-Key: ${show(key)}`);
  }
  // The bytes after the head are frames: a body there would be read as such, or frames as a body by a proxy.
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
