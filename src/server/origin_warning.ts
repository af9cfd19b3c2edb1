let given = false;

/**
 * Warns once per process that any page can use the cookies of its visitors: a browser sends them with every WebSocket
 * handshake, for any page (RFC 6455 10.2).
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
