import { createPrivateKey, X509Certificate } from "node:crypto";
import { refusal } from "../util/check.ts";

/**
 * Makes the error for a value that isn't PEM. A text isn't shown, since it may be a private key in the wrong option. A text
 * without the marker of PEM is most likely the path of a file.
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
 * @param attempt The attempted action and the option, such as `listen with tls.cert`.
 * @param pem The value of the option.
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
 * @param action The attempted action, such as `listen`.
 * @throws {TypeError} If one of them can't be parsed, or the key doesn't match the certificate.
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
