import type { Extension } from "../handshake/extension_list.ts";
import { quote } from "../util/quote.ts";

/** The token of permessage-deflate (RFC 7692 7). */
export const PERMESSAGE_DEFLATE = "permessage-deflate";

/** The four parameters of RFC 7692 7.1, as in one element of an offer or an answer. */
export interface DeflateParameters {
  /** 7.1.1.1 */
  serverNoContextTakeover: boolean;
  /** 7.1.1.2 */
  clientNoContextTakeover: boolean;
  /** 7.1.2.1; 0 if the parameter is absent. */
  serverMaxWindowBits: number;
  /** 7.1.2.2; 0 if the parameter is absent, `true` if it has no value. */
  clientMaxWindowBits: number | true;
}

/** 8 to 15 in decimal, without leading zeros (7.1.2.1, 7.1.2.2). */
const WINDOW_BITS = /^(?:[89]|1[0-5])$/;

/**
 * Reads the parameters of one offer or answer as strictly as RFC 7692 7.1 asks: an unknown name, a repeated name, or a
 * value that isn't allowed makes the whole element invalid.
 *
 * @param params The parameters, as parsed from the header.
 * @param valueless Whether `client_max_window_bits` may have no value: in an offer it may, in an answer it may not
 * (7.1.2.2).
 * @returns The parameters, or a sentence that says which one is wrong.
 */
export function readParameters(
  params: Extension["params"],
  valueless: boolean,
): DeflateParameters | string {
  const read: DeflateParameters = {
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
    serverMaxWindowBits: 0,
    clientMaxWindowBits: 0,
  };
  for (const [name, value] of params) {
    switch (name) {
      case "server_no_context_takeover":
        if (read.serverNoContextTakeover) return `parameter ${name} is repeated`;
        if (value !== true) return `parameter ${name} takes no value, got ${quote(value)}`;
        read.serverNoContextTakeover = true;
        break;
      case "client_no_context_takeover":
        if (read.clientNoContextTakeover) return `parameter ${name} is repeated`;
        if (value !== true) return `parameter ${name} takes no value, got ${quote(value)}`;
        read.clientNoContextTakeover = true;
        break;
      case "server_max_window_bits":
        if (read.serverMaxWindowBits !== 0) return `parameter ${name} is repeated`;
        if (value === true || !WINDOW_BITS.test(value)) return badBits(name, value);
        read.serverMaxWindowBits = Number(value);
        break;
      case "client_max_window_bits":
        if (read.clientMaxWindowBits !== 0) return `parameter ${name} is repeated`;
        if (value === true) {
          if (!valueless) return badBits(name, value);
          read.clientMaxWindowBits = true;
        } else {
          if (!WINDOW_BITS.test(value)) return badBits(name, value);
          read.clientMaxWindowBits = Number(value);
        }
        break;
      default:
        return `parameter ${name} is not known`;
    }
  }
  return read;
}

function badBits(name: string, value: string | true): string {
  return `parameter ${name} takes 8 to 15, got ${value === true ? "no value" : quote(value)}`;
}

/**
 * Writes the parameters in the order of RFC 7692 7.1.
 *
 * @param parameters The parameters.
 * @returns The element of the header, in parsed form.
 */
export function writeParameters(parameters: DeflateParameters): Extension {
  const params: Extension["params"] = [];
  if (parameters.serverNoContextTakeover) params.push(["server_no_context_takeover", true]);
  if (parameters.clientNoContextTakeover) params.push(["client_no_context_takeover", true]);
  const { serverMaxWindowBits, clientMaxWindowBits } = parameters;
  if (serverMaxWindowBits !== 0) {
    params.push(["server_max_window_bits", String(serverMaxWindowBits)]);
  }
  if (clientMaxWindowBits !== 0) {
    const value = clientMaxWindowBits === true ? true : String(clientMaxWindowBits);
    params.push(["client_max_window_bits", value]);
  }
  return { name: PERMESSAGE_DEFLATE, params };
}
