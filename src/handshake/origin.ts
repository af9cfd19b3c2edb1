import { isThenable } from "../util/foreign.ts";
import { show } from "../util/show.ts";

/**
 * The origins that may connect: a list, a pattern, or a function that returns a boolean or a promise of one.
 *
 * @see {@linkcode Context.prototype.listen}
 */
export type OriginRule =
  | readonly (string | RegExp)[]
  | RegExp
  | ((origin: string) => boolean | PromiseLike<boolean>);

/**
 * `scheme://host[:port]`, the serialization of an origin (RFC 6454 6.2). Other programs than browsers have schemes of
 * their own, whose host may be anything, or empty: `file://`, `app://-`.
 */
const SERIALIZED_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]*$/;

/**
 * Checks the option `origins`, so that a rule that can never match is noticed when the server is started.
 *
 * @param rule The option as given.
 * @returns The same rule; a list is copied.
 * @throws {TypeError} If it has another type, or contains a string that browsers don't send as an origin.
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
 * Says whether a handshake from this origin is allowed (RFC 6455 10.2). Programs other than browsers send no origin, so a
 * missing one is allowed. `"null"`, which any sandboxed page can send, is allowed only if the list contains that string or
 * the function allows it: a pattern that happens to match the word isn't enough.
 *
 * @param rule A rule, as {@linkcode checkOriginRule} returned it.
 * @param origin The value of `Origin`, or `null` if there is none.
 * @returns Whether it may connect; a promise if the function has returned one.
 * @throws The error of the function.
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
  // A global or sticky pattern would continue after its last match, and so refuse every other handshake.
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
