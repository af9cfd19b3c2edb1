import { warnMissingOriginCheck } from "./origin_warning.ts";
import { acceptOffer, type CodecSettings, codecSettings } from "../deflate/negotiation.ts";
import { makeRequest, ServerHandshakeResult } from "../engine/handshake_result.ts";
import { type Extension, formatExtensions } from "../handshake/extension_list.ts";
import type { Field } from "../handshake/headers_option.ts";
import { originAllowed } from "../handshake/origin.ts";
import { internalError, Refusal } from "../handshake/refusal.ts";
import type { RequestHead } from "../handshake/request_head.ts";
import { readUpgrade, type Upgrade } from "../handshake/server_handshake.ts";
import type { Acceptance } from "../handshake/server_response.ts";
import { requestUrl } from "../handshake/standard_request.ts";
import { chooseSubprotocol } from "../handshake/subprotocol.ts";
import { listContains } from "../handshake/token_list.ts";
import { type HandshakeAcceptance, type ListenSettings, resolveAnswer } from "./listen_options.ts";
import type { PeerInfo } from "./peer_info.ts";
import { cancelBody, refuseWith } from "./refuse_with.ts";

/** An accepted handshake. */
export interface AcceptedHandshake<Data> {
  /** The contents of the response. */
  readonly acceptance: Acceptance;
  readonly result: ServerHandshakeResult;
  /** The data that the application gave for this connection; `undefined` for none. */
  readonly data: Data | undefined;
}

/** A request to decide about. */
export interface Candidate {
  /** The text of its head. */
  readonly text: string;
  readonly request: RequestHead;
  readonly secure: boolean;
  readonly info: PeerInfo;
  /** Whether the handshake was ended without a decision: the callback took too long, or the listener shuts down. */
  readonly over: boolean;
  /** Sets a function that is called when the handshake is ended without a decision. */
  onOver(cancel: () => void): void;
}

interface Choice<Data> {
  protocol: string | undefined;
  headers: readonly Field[];
  extensions: readonly Extension[];
  data: Data | undefined;
}

const NO_CHOICE = { protocol: undefined, headers: [], extensions: [], data: undefined };

/**
 * Decides about a handshake. The application's callbacks may throw, reject, or never settle, so the caller has to limit
 * the wait. Without callbacks there is no promise.
 *
 * @throws {Refusal} The response for the peer; or another error that `refusalOf` converts to one. A promise rejects with it.
 */
export function decide<Data>(
  candidate: Candidate,
  settings: ListenSettings<Data>,
): AcceptedHandshake<Data> | Promise<AcceptedHandshake<Data>> {
  const { request, secure } = candidate;
  const upgrade = readUpgrade(request);
  requestUrl(request, secure, "");
  const { origins, onHandshake, selectProtocol } = settings;
  if (onHandshake === undefined && origins === null && request.fields.has("cookie")) {
    warnMissingOriginCheck();
  }
  if (onHandshake ?? selectProtocol ?? origins) return consult(candidate, settings, upgrade);
  const protocol = chooseProtocol(candidate, settings, upgrade.protocols) as string;
  return accept(candidate, settings, upgrade, NO_CHOICE, protocol);
}

/** Decides with the application's callbacks and rules. */
async function consult<Data>(
  candidate: Candidate,
  settings: ListenSettings<Data>,
  upgrade: Upgrade,
): Promise<AcceptedHandshake<Data>> {
  if (!await isWelcome(settings, upgrade.origin)) {
    throw new Refusal(403, "The origin is not allowed");
  }
  let choice: Choice<Data> = NO_CHOICE;
  if (settings.onHandshake !== undefined) choice = await ask(candidate, settings, upgrade);
  const protocol = choice.protocol ?? await chooseProtocol(candidate, settings, upgrade.protocols);
  return accept(candidate, settings, upgrade, choice, protocol);
}

/** Runs callbacks; their errors are reported to the application, and not shown to the peer. */
async function asking<T>(callbacks: () => T | PromiseLike<T>): Promise<T> {
  try {
    return await callbacks();
  } catch (error) {
    throw error instanceof Refusal ? error : internalError(error);
  }
}

function isWelcome<Data>(
  { origins }: ListenSettings<Data>,
  origin: string | null,
): boolean | Promise<boolean> {
  return origins === null || asking(() => originAllowed(origins, origin));
}

function ask<Data>(
  candidate: Candidate,
  settings: ListenSettings<Data>,
  upgrade: Upgrade,
): Promise<Choice<Data>> {
  const { text, secure, info } = candidate;
  return asking(async () => {
    const decision = await settings.onHandshake!(makeRequest(text, secure), info);
    if (decision === false) throw new Refusal(403, "Forbidden");
    if (decision instanceof Response) {
      if (!candidate.over) throw await refuseWith(decision, (cancel) => candidate.onOver(cancel));
      cancelBody(decision);
      throw new Error("onHandshake has answered too late");
    }
    if (typeof decision !== "object" || decision === null) return NO_CHOICE;
    const answer = decision as HandshakeAcceptance<Data>;
    return {
      ...resolveAnswer(answer, upgrade.protocols, upgrade.extensions),
      data: answer.data,
    };
  });
}

function chooseProtocol<Data>(
  { text, secure }: Candidate,
  { protocols, selectProtocol }: ListenSettings<Data>,
  offered: string[],
): string | Promise<string> {
  const select = selectProtocol && (() => selectProtocol(offered, makeRequest(text, secure)));
  const choose = () => chooseSubprotocol(offered, protocols, select);
  return select === undefined ? choose() : asking(choose);
}

function accept<Data>(
  { text, request, secure }: Candidate,
  settings: ListenSettings<Data>,
  upgrade: Upgrade,
  choice: Choice<Data>,
  protocol: string,
): AcceptedHandshake<Data> {
  const headers = choice.headers.length === 0
    ? settings.headers
    : [...settings.headers, ...choice.headers];
  const { compression } = settings.connection;
  let { extensions } = choice;
  let codecs: CodecSettings | null = null;
  const accepted = compression === null ? null : acceptOffer(upgrade.extensions, compression);
  if (accepted !== null) {
    extensions = [...extensions, accepted.answer];
    codecs = codecSettings(accepted.agreement, "server", compression!);
  }
  const expectsContinue = listContains(request.fields.get("expect"), "100-continue");
  return {
    acceptance: { key: upgrade.key, protocol, extensions, headers, expectsContinue },
    result: new ServerHandshakeResult(
      text,
      secure,
      protocol,
      formatExtensions(extensions),
      headers,
      codecs,
    ),
    data: choice.data,
  };
}
