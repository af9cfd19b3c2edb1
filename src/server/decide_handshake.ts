import { warnMissingOriginCheck } from "./origin_warning.ts";
import { acceptOffer, type CodecSettings, codecSettings } from "../deflate/negotiation.ts";
import { makeRequest, ServerHandshakeResult } from "../engine/handshake_result.ts";
import { type Extension, formatExtensions } from "../handshake/extension_list.ts";
import type { Field } from "../handshake/headers_option.ts";
import { originAllowed, type OriginRule } from "../handshake/origin.ts";
import { parseRequestHead } from "../handshake/request_head.ts";
import { readUpgrade, type Upgrade } from "../handshake/server_handshake.ts";
import { formatAccept } from "../handshake/server_response.ts";
import {
  type HandshakeAcceptance,
  type ListenSettings,
  type PeerInfo,
  resolveAnswer,
} from "./listen_options.ts";
import { Refused, refuseWith } from "../handshake/refusal.ts";

/** A handshake that we accept. */
export interface Acceptance<Data> {
  /** The 101. */
  readonly answer: Uint8Array;
  readonly facts: ServerHandshakeResult;
  /** Data that the application gave for this connection; `undefined` where it gave none. */
  readonly data: Data | undefined;
}

interface Choice<Data> {
  protocol: string | undefined;
  headers: readonly Field[];
  extensions: readonly Extension[];
  data: Data | undefined;
}

const NO_CHOICE = { protocol: undefined, headers: [], extensions: [], data: undefined };

/**
 * Decides about a handshake.
 *
 * @param head The text of the request's head.
 * @throws {Refused} With what the peer is to be answered, or an error that `refusalOf` knows.
 */
export function decide<Data>(
  head: string,
  secure: boolean,
  settings: ListenSettings<Data>,
  info: PeerInfo,
): Acceptance<Data> | Promise<Acceptance<Data>> {
  const request = parseRequestHead(head);
  const upgrade = readUpgrade(request);
  if (!URL.canParse(`http://${upgrade.host}${upgrade.path}`)) {
    throw new Refused(400, "The Host and the target of the request make no URL");
  }
  if (!isWelcome(settings.origins, upgrade.origin)) {
    throw new Refused(403, "The origin is not allowed");
  }
  if (settings.onHandshake === undefined) {
    if (settings.origins === null && request.fields.has("cookie")) warnMissingOriginCheck();
    return accept(head, secure, settings, upgrade, NO_CHOICE);
  }
  return ask(head, secure, settings, info, upgrade);
}

function isWelcome(origins: OriginRule | null, origin: string | null): boolean {
  try {
    return origins === null || originAllowed(origins, origin);
  } catch (error) {
    // A predicate of the application's has thrown: as with onHandshake, the peer is told so much and no more.
    throw new Refused(500, "Internal Server Error", [], undefined, error);
  }
}

async function ask<Data>(
  head: string,
  secure: boolean,
  settings: ListenSettings<Data>,
  info: PeerInfo,
  upgrade: Upgrade,
): Promise<Acceptance<Data>> {
  let choice: Choice<Data> = NO_CHOICE;
  try {
    const decision = await settings.onHandshake!(makeRequest(head, secure), info);
    if (decision === false) throw new Refused(403, "Forbidden");
    if (decision instanceof Response) throw await refuseWith(decision);
    if (typeof decision === "object" && decision !== null) {
      const answer: HandshakeAcceptance<Data> = decision;
      choice = {
        ...resolveAnswer(answer, upgrade.protocols, upgrade.extensions),
        data: answer.data,
      };
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    // The error is the application's, and none of the peer's business.
    throw new Refused(500, "Internal Server Error", [], undefined, error);
  }
  return accept(head, secure, settings, upgrade, choice);
}

function accept<Data>(
  head: string,
  secure: boolean,
  settings: ListenSettings<Data>,
  upgrade: Upgrade,
  choice: Choice<Data>,
): Acceptance<Data> {
  const protocol = choice.protocol ?? chooseProtocol(head, secure, settings, upgrade.protocols);
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
  return {
    answer: formatAccept({ key: upgrade.key, protocol, extensions, headers }),
    facts: new ServerHandshakeResult(
      head,
      secure,
      protocol,
      formatExtensions(extensions),
      headers,
      codecs,
    ),
    data: choice.data,
  };
}

function chooseProtocol<Data>(
  head: string,
  secure: boolean,
  settings: ListenSettings<Data>,
  offered: string[],
): string {
  if (offered.length === 0) return "";
  if (settings.selectProtocol === undefined) {
    return settings.protocols.find((protocol) => offered.includes(protocol)) ?? "";
  }
  try {
    const chosen = settings.selectProtocol(offered, makeRequest(head, secure)) ?? "";
    if (chosen !== "" && !offered.includes(chosen)) {
      throw new TypeError(`Cannot select subprotocol ${chosen}, which wasn't offered`);
    }
    return chosen;
  } catch (error) {
    throw new Refused(500, "Internal Server Error", [], undefined, error);
  }
}
