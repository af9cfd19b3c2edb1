import { isThenable } from "../util/foreign.ts";
import { show } from "../util/show.ts";

/**
 * Chooses the subprotocol of a connection from the client's offer (RFC 6455 4.2.2, item 5, /subprotocol/).
 *
 * @param offered The client's subprotocols, in its order of preference.
 * @param spoken The server's subprotocols, in its order of preference, which decides unless `select` is given.
 * @param select Chooses the subprotocol. It isn't called for a client that offers none.
 * @returns The subprotocol, `""` for none; a promise if `select` has returned one.
 * @throws {TypeError} If `select` returns a subprotocol that wasn't offered.
 * @throws The error of `select`.
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
