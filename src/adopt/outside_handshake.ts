// What a caller needs that does the opening handshake elsewhere and has the open stream adopted: permessage-deflate on
// terms of his own for each direction (RFC 7692 7.1), which `adopt` gets as its `extensions`; keys, and lists of tokens.

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
 * What may be agreed on for each direction.
 *
 * @see {@linkcode WebSocketServer}
 */
export interface DeflateTerms {
  /** `true`: the server forgets its window after each message; `false`: it isn't asked to. */
  serverNoContextTakeover?: boolean;
  /** The same for the client. */
  clientNoContextTakeover?: boolean;
  /** The server's window, as the power of two of its bytes; `false`: it isn't asked for a smaller one. */
  serverMaxWindowBits?: number | false;
  /** The same for the client's. */
  clientMaxWindowBits?: number | boolean;
}

const numberOf = (bits: number | boolean | undefined) => typeof bits === "number" ? bits : 0;

/** What a client offers: the value of `Sec-WebSocket-Extensions`, `""` for nothing. */
export function offerCompression(terms: DeflateTerms): string {
  if (!isSupported()) return "";
  const { serverNoContextTakeover, clientNoContextTakeover, clientMaxWindowBits = true } = terms;
  return formatExtensions([writeParameters({
    serverNoContextTakeover: serverNoContextTakeover === true,
    clientNoContextTakeover: clientNoContextTakeover === true,
    serverMaxWindowBits: numberOf(terms.serverMaxWindowBits),
    clientMaxWindowBits: clientMaxWindowBits === false ? 0 : clientMaxWindowBits,
  })]);
}

/**
 * What a server answers to the extensions of a request.
 *
 * @returns The value of `Sec-WebSocket-Extensions`; `""` if compression isn't offered.
 * @throws {Error} If the header is malformed, or compression is offered on no terms that fit.
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
  // zlib compresses into no window of 8 bits.
  if (asked === 8) return null;
  // A client's window can't be bounded unless it says that it understands (7.1.2.2).
  if (client !== 0 && offer.clientMaxWindowBits === 0) return null;
  const hint = numberOf(offer.clientMaxWindowBits);
  return {
    serverNoContextTakeover: offer.serverNoContextTakeover ||
      terms.serverNoContextTakeover === true,
    clientNoContextTakeover: offer.clientNoContextTakeover ||
      terms.clientNoContextTakeover === true,
    serverMaxWindowBits: server || asked,
    clientMaxWindowBits: terms.clientMaxWindowBits === false
      ? 0
      : client === 0 || hint === 0
      ? client || hint
      : Math.min(client, hint),
  };
}

/**
 * Checks what a server has answered to an offer.
 *
 * @returns The value of `Sec-WebSocket-Extensions`, as it is in force.
 * @throws {Error} If it is malformed, or isn't what was offered.
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

/** A server has answered with what wasn't asked for at all. */
export class UnrequestedExtension extends Error {}
