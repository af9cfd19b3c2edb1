import { parseAddress } from "../util/ip_address.ts";

const SEQUENCE = 0x30;
const OBJECT_ID = 0x06;
const OCTET_STRING = 0x04;
const EXTENSIONS = 0xa3; // [3] of tbsCertificate
const DNS_NAME = 0x82; // [2] of GeneralName
const IP_ADDRESS = 0x87; // [7] of GeneralName
/** 2.5.29.17, id-ce-subjectAltName (RFC 5280 4.2.1.6). */
const ALT_NAME = "551d11";

/** An element of DER: its tag and its contents. */
interface Element {
  tag: number;
  contents: Uint8Array;
}

/**
 * Checks whether a verified certificate is for a server (RFC 9525). Only its subjectAltName counts, never the common name
 * (2), and a wildcard must be the whole left-most label (6.3).
 *
 * The extension is read from the certificate itself. The text that `node:tls` makes of it, and checks, isn't quoted: a URI
 * among the names could contain text that looks like another name.
 *
 * @param name The requested host: a name, or an address without brackets.
 * @param der The certificate.
 * @returns The error, or `undefined` if the certificate is for this host.
 */
export function checkServerIdentity(name: string, der: Uint8Array): Error | undefined {
  const names = alternativeNames(der);
  const address = parseAddress(name);
  const isMeant = address === undefined
    ? names.some(({ tag, contents }) => tag === DNS_NAME && matches(toText(contents), name))
    : names.some(({ tag, contents }) => tag === IP_ADDRESS && areEqual(contents, address));
  if (isMeant) return undefined;
  const error = new Error(`The certificate has no alternative name that is ${name}`);
  return Object.assign(error, { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

function matches(pattern: string, name: string): boolean {
  const host = name.toLowerCase().replace(/\.$/, "");
  const presented = pattern.toLowerCase();
  if (!presented.startsWith("*.")) return presented === host;
  const dot = host.indexOf(".");
  return dot > 0 && presented.slice(1) === host.slice(dot);
}

function alternativeNames(der: Uint8Array): Element[] {
  try {
    const [certificate] = elements(der);
    const [signed] = elements(certificate.contents);
    const extensions = elements(signed.contents).find(({ tag }) => tag === EXTENSIONS);
    if (extensions === undefined) return [];
    for (const { contents } of elements(elements(extensions.contents)[0].contents)) {
      const [id, ...rest] = elements(contents);
      if (id.tag !== OBJECT_ID || id.contents.toHex() !== ALT_NAME) continue;
      // The flag `critical` may come before the value.
      const value = rest.find(({ tag }) => tag === OCTET_STRING)!;
      const [list] = elements(value.contents);
      return list.tag === SEQUENCE ? elements(list.contents) : [];
    }
  } catch {
    // A certificate that can't be read names no host.
  }
  return [];
}

/** Reads elements of DER up to the end (X.690 8.1, with definite lengths only: 10.1). */
function elements(der: Uint8Array): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < der.length;) {
    const tag = der[at++];
    let length = der[at++];
    if (length > 0x80) {
      const end = at + (length & 0x7f);
      for (length = 0; at < end; at++) length = length * 256 + der[at];
    }
    if (!(at + length <= der.length)) throw new RangeError("An element exceeds its container");
    found.push({ tag, contents: der.subarray(at, at += length) });
  }
  return found;
}

/** An IA5String as text, one code unit per byte. */
function toText(bytes: Uint8Array): string {
  // A longer one isn't a name (RFC 1035 2.3.4). Certificates that weren't verified are read here, too.
  return bytes.length > 255 ? "" : String.fromCharCode(...bytes);
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
