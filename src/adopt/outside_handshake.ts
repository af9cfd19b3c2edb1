// For callers that do the opening handshake elsewhere and adopt the open stream: keys, lists of tokens, and the negotiation
// of permessage-deflate with terms for each direction (RFC 7692 7.1), whose result is `extensions` for `adopt`.

import {
  type DeflateParameters,
  PERMESSAGE_DEFLATE,
  readParameters,
  writeParameters,
} from "../deflate/parameters.ts";
import { isSupported } from "../deflate/raw_zlib.ts";
import { formatExtensions, parseExtensions } from "../handshake/extension_list.ts";

export { acceptKey, createKey, isValidKey } from "../handshake/accept_key.ts";
export { parseProtocols } from "../handshake/token_list.ts";

/**
 * The terms of compression for each direction.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface DeflateTerms {
  /** Whether the server forgets its window after each message; `false` excludes it. */
  serverNoContextTakeover?: boolean;
  /** The same for the client. */
  clientNoContextTakeover?: boolean;
  /** Base-two logarithm of the server's window; `false` excludes a smaller one. */
  serverMaxWindowBits?: number | false;
  /** The same for the client's window. */
  clientMaxWindowBits?: number | boolean;
}

const numberOf = (bits: number | boolean | undefined) => typeof bits === "number" ? bits : 0;

/** Makes a client's offer: the value of `Sec-WebSocket-Extensions`, `""` if compression isn't possible. */
export function offerCompression(terms: DeflateTerms): string {
  if (!isSupported()) return "";
  const { serverNoContextTakeover, clientNoContextTakeover } = terms;
  const clientMaxWindowBits = terms.clientMaxWindowBits ?? true;
  return formatExtensions([writeParameters({
    serverNoContextTakeover: Boolean(serverNoContextTakeover),
    clientNoContextTakeover: Boolean(clientNoContextTakeover),
    serverMaxWindowBits: numberOf(terms.serverMaxWindowBits),
    clientMaxWindowBits: clientMaxWindowBits === false ? 0 : clientMaxWindowBits,
  })]);
}

/**
 * Makes a server's answer to the extensions of a request.
 *
 * @returns The value of `Sec-WebSocket-Extensions`; `""` if compression isn't offered.
 * @throws {Error} If the header is malformed, or no offer fits the terms.
 */
export function answerCompression(offered: string, terms: DeflateTerms): string {
  const offers = parseExtensions(offered).filter(({ name }) => name === PERMESSAGE_DEFLATE);
  if (offers.length === 0 || !isSupported()) return "";
  for (const { params } of offers) {
    const offer = readParameters(params, true);
    if (typeof offer === "string") throw new Error(`Invalid offer: ${offer}`);
    const answer = answerTo(offer, terms);
    if (answer !== null) return formatExtensions([writeParameters(answer)]);
  }
  throw new Error("None of the extension offers can be accepted");
}

function answerTo(offer: DeflateParameters, terms: DeflateTerms): DeflateParameters | null {
  const server = numberOf(terms.serverMaxWindowBits), client = numberOf(terms.clientMaxWindowBits);
  const asked = offer.serverMaxWindowBits;
  if (terms.serverNoContextTakeover === false && offer.serverNoContextTakeover) return null;
  if (asked !== 0 && (terms.serverMaxWindowBits === false || server > asked)) return null;
  // zlib can't compress into a window of 8 bits.
  if (asked === 8) return null;
  // A server may limit the client's window only if the client has offered the parameter (7.1.2.2).
  if (client !== 0 && offer.clientMaxWindowBits === 0) return null;
  const hint = numberOf(offer.clientMaxWindowBits);
  return {
    serverNoContextTakeover: offer.serverNoContextTakeover ||
      Boolean(terms.serverNoContextTakeover),
    clientNoContextTakeover: offer.clientNoContextTakeover ||
      Boolean(terms.clientNoContextTakeover),
    serverMaxWindowBits: server || asked,
    clientMaxWindowBits: terms.clientMaxWindowBits === false
      ? 0
      : client === 0 || hint === 0
      ? client || hint
      : Math.min(client, hint),
  };
}

/**
 * Checks a server's answer to an offer.
 *
 * @returns The agreed value of `Sec-WebSocket-Extensions`.
 * @throws {Error} If the answer is malformed, or doesn't fit the offer.
 */
export function checkCompressionAnswer(answered: string, terms: DeflateTerms): string {
  const answers = parseExtensions(answered);
  if (answers.length !== 1 || answers[0].name !== PERMESSAGE_DEFLATE) {
    throw new UnrequestedExtension("Server indicated an extension that was not requested");
  }
  const answer = readParameters(answers[0].params, false);
  if (typeof answer === "string") throw new Error(`Invalid answer: ${answer}`);
  const bound = numberOf(terms.clientMaxWindowBits), named = numberOf(answer.clientMaxWindowBits);
  if (terms.clientNoContextTakeover === false && answer.clientNoContextTakeover) {
    throw new Error("The server asks for client_no_context_takeover, which was not offered");
  }
  if (named !== 0 && (terms.clientMaxWindowBits === false || (bound !== 0 && named > bound))) {
    throw new Error(`The server asks for client_max_window_bits=${named}, beyond the offer`);
  }
  return formatExtensions([
    writeParameters({ ...answer, clientMaxWindowBits: named || bound }),
  ]);
}

/** A server has answered with an extension that wasn't offered. */
export class UnrequestedExtension extends Error {}
