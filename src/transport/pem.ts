import { createPrivateKey, X509Certificate } from "node:crypto";
import { refusal } from "../util/check.ts";

/**
 * The error for what isn't PEM. Of a text nothing is shown: it may be a private key in the wrong place. One without the
 * mark of PEM is most often the name of a file.
 */
export function notPem(
  attempt: string,
  given: unknown,
  allowed: string,
  cause?: unknown,
): TypeError {
  if (typeof given !== "string") return refusal(attempt, given, allowed);
  const hint = given.includes("-----BEGIN") ? "" : ", the text and not the path of its file";
  return new TypeError(`Cannot ${attempt} of length ${given.length}: use ${allowed}${hint}`, {
    cause,
  });
}

/**
 * Reads a certificate.
 *
 * @param attempt What was attempted, and the name of the option: `listen with tls.cert`.
 * @param pem What was given.
 * @throws {TypeError} If it isn't a certificate in PEM.
 */
export function readCertificate(attempt: string, pem: unknown): X509Certificate {
  const allowed = "a certificate in PEM";
  if (typeof pem !== "string") throw notPem(attempt, pem, allowed);
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw notPem(attempt, pem, allowed, cause);
  }
}

/**
 * Checks a certificate and its private key.
 *
 * @param action What is attempted: `listen`, `connect` …
 * @throws {TypeError} If one can't be read, or the key isn't the certificate's.
 */
export function checkKeyPair(action: string, cert: unknown, key: unknown): void {
  const certificate = readCertificate(`${action} with tls.cert`, cert);
  const attempt = `${action} with tls.key`, allowed = "a private key in PEM";
  if (typeof key !== "string") throw notPem(attempt, key, allowed);
  let privateKey;
  try {
    privateKey = createPrivateKey(key);
  } catch (cause) {
    throw notPem(attempt, key, allowed, cause);
  }
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TypeError(
      `Cannot ${attempt} of another certificate: use the private key of tls.cert`,
    );
  }
}
