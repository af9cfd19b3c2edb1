import { isThenable } from "../util/foreign.ts";
import { show } from "../util/show.ts";

/**
 * Chooses the subprotocol of a connection among those that the client offers (RFC 6455 4.2.2, item 5, /subprotocol/).
 *
 * @param offered What the client offers, in its order of preference.
 * @param spoken What we speak, in ours.
 * @param select Chooses instead of our order, if it is there; it isn't asked about a client that offers nothing.
 * @returns The subprotocol, `""` for none; a promise of it if `select` has returned one.
 * @throws {TypeError} If `select` names what isn't offered.
 * @throws What `select` throws.
 */
export function chooseSubprotocol(
  offered: readonly string[],
  spoken: readonly string[],
  select: (() => unknown) | undefined,
): string | Promise<string> {
  if (offered.length === 0) return "";
  if (select === undefined) return spoken.find((protocol) => offered.includes(protocol)) ?? "";
  const chosen = select();
  if (isThenable(chosen)) return Promise.resolve(chosen).then((later) => check(later, offered));
  return check(chosen, offered);
}

function check(chosen: unknown, offered: readonly string[]): string {
  if (chosen === undefined || chosen === null || chosen === "") return "";
  if (typeof chosen === "string" && offered.includes(chosen)) return chosen;
  throw new TypeError(`Cannot select the subprotocol ${show(chosen)}, which wasn't offered`);
}
