import { HandshakeError } from "../errors.ts";
import type { Extension } from "../handshake/extension_list.ts";
import type { CompressionSettings } from "./compression_options.ts";
import {
  type DeflateParameters,
  PERMESSAGE_DEFLATE,
  readParameters,
  writeParameters,
} from "./parameters.ts";

// The negotiation of RFC 7692 7.1, for both roles: parsed headers in, an agreement out.

/** The parameters that both sides have agreed on. */
export interface DeflateAgreement {
  /** The server forgets its window after each message. */
  serverNoContextTakeover: boolean;
  /** The client forgets its window after each message. */
  clientNoContextTakeover: boolean;
  /** Base-two logarithm of the largest window that the server compresses with, 8 to 15. */
  serverWindowBits: number;
  /** Base-two logarithm of the largest window that the client compresses with, 8 to 15. */
  clientWindowBits: number;
}

/** The settings of the two codecs of one side. */
export interface CodecSettings {
  /** Settings for our messages; null if they can't be compressed. */
  deflate: { windowBits: number; takeover: boolean; memLevel: number; level: number } | null;
  /** Settings for the peer's messages. */
  inflate: { windowBits: number; takeover: boolean };
}

/**
 * Makes the offer of a client.
 *
 * @param settings The client's settings.
 * @returns The offer; the server's answer to it is read by {@linkcode acceptAnswer}.
 */
export function makeOffer(settings: CompressionSettings): Extension {
  const { contextTakeover, windowBits } = settings;
  return writeParameters({
    serverNoContextTakeover: !contextTakeover,
    // Only a hint: the client may always forget its window (7.1.1.2).
    clientNoContextTakeover: !contextTakeover,
    serverMaxWindowBits: windowBits < 15 ? windowBits : 0,
    // Always offered: without it the server couldn't ask us for a smaller window (7.1.2.2).
    clientMaxWindowBits: windowBits < 15 ? windowBits : true,
  });
}

/**
 * Chooses the first of a client's offers that a server with these settings can honour. An invalid offer is declined, which
 * isn't an error (7.1: "the server MUST decline").
 *
 * @param offers All offers of the client, from one header or several, in order of preference.
 * @param settings The server's settings.
 * @returns The agreement and the answer that names it to the client, or null.
 */
export function acceptOffer(
  offers: readonly Extension[],
  settings: CompressionSettings,
): { agreement: DeflateAgreement; answer: Extension } | null {
  for (const { name, params } of offers) {
    if (name !== PERMESSAGE_DEFLATE) continue;
    const offer = readParameters(params, true);
    if (typeof offer === "string") continue;
    // zlib can't compress into a window of 8 bits, and a larger one would break the agreement.
    if (offer.serverMaxWindowBits === 8) continue;
    const answer = answerTo(offer, settings);
    return { agreement: agreementOf(answer), answer: writeParameters(answer) };
  }
  return null;
}

function answerTo(offer: DeflateParameters, settings: CompressionSettings): DeflateParameters {
  const { contextTakeover, windowBits } = settings;
  const forget = !contextTakeover;
  let serverMaxWindowBits = offer.serverMaxWindowBits;
  // A server may name a smaller window of its own even if it wasn't asked to (7.1.2.1).
  if (serverMaxWindowBits > windowBits || (serverMaxWindowBits === 0 && windowBits < 15)) {
    serverMaxWindowBits = windowBits;
  }
  let clientMaxWindowBits = 0;
  const offered = offer.clientMaxWindowBits;
  // It may limit the client's window only if the client has offered the parameter (7.1.2.2).
  if (offered === true) clientMaxWindowBits = windowBits < 15 ? windowBits : 0;
  else if (offered !== 0) clientMaxWindowBits = Math.min(offered, windowBits);
  return {
    serverNoContextTakeover: forget || offer.serverNoContextTakeover,
    clientNoContextTakeover: forget || offer.clientNoContextTakeover,
    serverMaxWindowBits,
    clientMaxWindowBits,
  };
}

/**
 * Checks a server's answer to the offer of a client with these settings.
 *
 * @param answers The extensions of the answer.
 * @param settings The client's settings, as for {@linkcode makeOffer}.
 * @returns The agreement and the answer that it is from, or null if the server declined.
 * @throws {HandshakeError} If the answer is invalid or doesn't honour the offer: the client must
 * then fail the connection (7.1).
 */
export function acceptAnswer(
  answers: readonly Extension[],
  settings: CompressionSettings,
): { agreement: DeflateAgreement; answer: Extension } | null {
  let found: Extension | null = null;
  for (const answer of answers) {
    if (answer.name !== PERMESSAGE_DEFLATE) continue;
    if (found !== null) throw refusal("it was accepted twice");
    found = answer;
  }
  if (found === null) return null;
  const answer = readParameters(found.params, false);
  if (typeof answer === "string") throw refusal(answer);
  const { windowBits } = settings;
  // The parameters that we asked for should come back (7.1.1.1, 7.1.2.1), but many servers leave them out. Then we keep
  // the window that they may use, which only costs memory. A window that they name has to be within the offer.
  if (windowBits < 15) {
    const { serverMaxWindowBits, clientMaxWindowBits } = answer;
    if (serverMaxWindowBits > windowBits) {
      throw refusal(`server_max_window_bits=${serverMaxWindowBits} exceeds the offer`);
    }
    if (clientMaxWindowBits as number > windowBits) {
      throw refusal(`client_max_window_bits=${clientMaxWindowBits} exceeds the offer`);
    }
  }
  return { agreement: agreementOf(answer), answer: found };
}

/**
 * Reads an answer without its offer, for a connection whose handshake was done elsewhere.
 *
 * @param extensions The extensions in force.
 * @returns The agreement, or null if permessage-deflate isn't among them.
 * @throws {TypeError} If its parameters are not those of an answer.
 */
export function readAgreement(extensions: readonly Extension[]): DeflateAgreement | null {
  const found = extensions.find(({ name }) => name === PERMESSAGE_DEFLATE);
  if (found === undefined) return null;
  const answer = readParameters(found.params, false);
  if (typeof answer === "string") {
    throw new TypeError(`Cannot use ${PERMESSAGE_DEFLATE}: ${answer}`);
  }
  return agreementOf(answer);
}

function agreementOf(answer: DeflateParameters): DeflateAgreement {
  return {
    serverNoContextTakeover: answer.serverNoContextTakeover,
    clientNoContextTakeover: answer.clientNoContextTakeover,
    serverWindowBits: answer.serverMaxWindowBits || 15,
    clientWindowBits: (answer.clientMaxWindowBits as number) || 15,
  };
}

/**
 * Turns an agreement into the settings of one side's codecs.
 *
 * @param agreement The agreement.
 * @param role Our side.
 * @param settings Our settings.
 * @returns The settings of the deflater and the inflater.
 */
export function codecSettings(
  agreement: DeflateAgreement,
  role: "client" | "server",
  settings: CompressionSettings,
): CodecSettings {
  const server = role === "server";
  const ours = server ? agreement.serverWindowBits : agreement.clientWindowBits;
  const theirs = server ? agreement.clientWindowBits : agreement.serverWindowBits;
  const weForget = server ? agreement.serverNoContextTakeover : agreement.clientNoContextTakeover;
  const theyForget = server ? agreement.clientNoContextTakeover : agreement.serverNoContextTakeover;
  return {
    // A client may have agreed to 8 bits, which zlib can't do. Compressing isn't mandatory (6.1), so it doesn't.
    deflate: ours === 8 ? null : {
      // A smaller window than agreed, and forgetting it without need, are always allowed.
      windowBits: Math.min(ours, settings.windowBits),
      takeover: !weForget && settings.contextTakeover,
      memLevel: settings.memLevel,
      level: settings.level,
    },
    // Older versions of zlib silently use 9 bits for 8, so peers that agreed to 8 may send 9.
    inflate: { windowBits: Math.max(theirs, 9), takeover: !theyForget },
  };
}

function refusal(problem: string): HandshakeError {
  return new HandshakeError(
    `The server's answer to ${PERMESSAGE_DEFLATE} is not acceptable: ${problem}`,
  );
}
