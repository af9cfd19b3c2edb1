let given = false;

/**
 * Warns the programmer, once per process, that pages of strangers can use the cookies of their visitors: a browser
 * sends them with every WebSocket handshake, whichever page asks for it (RFC 6455 10.2).
 */
export function warnMissingOriginCheck(): void {
  if (given) return;
  given = true;
  console.warn(
    "A WebSocket handshake came with a Cookie, and neither `origins` nor `onHandshake` says which pages may connect: " +
      "a page of any site can open connections in the name of its visitors (cross-site WebSocket hijacking). " +
      'List your own with `origins: ["https://example.com"]`; `origins: /./` accepts all, and is silent about it.',
  );
}
