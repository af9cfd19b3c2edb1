import { isThenable } from "../util/foreign.ts";
import { show } from "../util/show.ts";

/**
 * Which origins may connect: a list, a pattern, or a function that decides, at once or by a promise.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export type OriginRule =
  | readonly (string | RegExp)[]
  | RegExp
  | ((origin: string) => boolean | PromiseLike<boolean>);

/**
 * `scheme://host[:port]`, which is all that an origin has (RFC 6454 6.2). Embedders have schemes of their own, whose
 * host may be anything, or nothing: `file://`, `app://-`.
 */
const SERIALIZED_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]*$/;

/**
 * Checks the option `origins`, so that a rule which could never match is noticed when the server is started.
 *
 * @param rule The option as it was given.
 * @returns The same rule; a list is copied.
 * @throws {TypeError} If it has another shape, or lists a string that browsers don't send as an origin.
 */
export function checkOriginRule(rule: OriginRule): OriginRule {
  if (rule instanceof RegExp || typeof rule === "function") return rule;
  if (!Array.isArray(rule)) {
    throw new TypeError(`Cannot use ${show(rule)} as origins: use a list, a RegExp or a function`);
  }
  for (const entry of rule) {
    if (entry instanceof RegExp) continue;
    if (typeof entry !== "string" || !isOrigin(entry)) {
      throw new TypeError(
        `Cannot use ${show(entry)} as an origin: it must look like "https://example.com"`,
      );
    }
  }
  return [...rule];
}

/**
 * Says whether a handshake from this origin is welcome (RFC 6455 10.2). Programs other than browsers send none, so a
 * missing one passes. `"null"`, which any sandboxed page can send, passes only if the list has that very string or
 * the function says so: a pattern that happens to match the word doesn't count.
 *
 * @param rule A rule, as {@linkcode checkOriginRule} returned it.
 * @param origin The value of `Origin`, or `null` if there is none.
 * @returns Whether it may connect; a promise of it if a function has returned one.
 * @throws What a function has thrown.
 */
export function originAllowed(
  rule: OriginRule,
  origin: string | null,
): boolean | PromiseLike<boolean> {
  if (origin === null) return true;
  if (typeof rule === "function") {
    const verdict = rule(origin);
    return isThenable(verdict)
      ? Promise.resolve(verdict).then((later) => later === true)
      : verdict === true;
  }
  if (rule instanceof RegExp) return matches(rule, origin);
  for (const entry of rule) {
    if (typeof entry === "string" ? entry === origin : matches(entry, origin)) return true;
  }
  return false;
}

function matches(pattern: RegExp, origin: string): boolean {
  if (origin === "null") return false;
  // A global or sticky pattern goes on where its last match ended, and would refuse every other handshake.
  pattern.lastIndex = 0;
  return pattern.test(origin);
}

function isOrigin(entry: string): boolean {
  if (entry === "null") return true;
  if (!SERIALIZED_ORIGIN.test(entry)) return false;
  // Browsers send hosts in lower case and leave default ports out.
  return !/^(?:https?|wss?):/.test(entry) ||
    (URL.canParse(entry) && new URL(entry).origin === entry);
}
