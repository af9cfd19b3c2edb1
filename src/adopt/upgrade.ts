import { type Connection, makeConnection } from "../connection.ts";
import { type ConnectionOptions, mergeOptions, resolveSettings } from "../connection_options.ts";
import type { Registry } from "../context/registry.ts";
import { Engine } from "../engine/engine.ts";
import { HANDLERS, pickHandlers } from "../engine/handlers.ts";
import { checkHeaders } from "../handshake/headers_option.ts";
import { checkOriginRule } from "../handshake/origin.ts";
import { checkProtocols } from "../handshake/token_list.ts";
import { withWebSocketScheme } from "../handshake/url.ts";
import { offerOf, type UpgradeOffer } from "../server/upgrade_offer.ts";
import { checkHandlers, refusal, timeLimit } from "../util/check.ts";
import { nativeUpgrade } from "./native_upgrade.ts";
import { checkUpgradeOptions, type UpgradeOptions, type UpgradeResult } from "./upgrade_options.ts";

/**
 * Upgrades a request that a handler has got: one from a listener by accepting its offer, any other by Deno's own WebSocket.
 *
 * @param defaults The options of the context.
 */
export function upgrade<Data>(
  registry: Registry,
  request: Request,
  defaults: object,
  given: UpgradeOptions<Data>,
): UpgradeResult<Connection<Data>> {
  const options = mergeOptions("upgrade", defaults, given);
  if (!(request instanceof Request)) {
    throw refusal("upgrade", request, "the Request that a handler got");
  }
  const offer = offerOf(request, registry);
  if (offer !== null) return takeOffer(offer, request, given, options);
  checkUpgradeOptions(given);
  return nativeUpgrade(registry, request, options);
}

function takeOffer<Data>(
  offer: UpgradeOffer,
  request: Request,
  given: UpgradeOptions<Data>,
  options: UpgradeOptions<Data>,
): UpgradeResult<Connection<Data>> {
  checkHandlers("upgrade", options, [...HANDLERS, "selectProtocol"]);
  const { registry } = offer.host;
  // Options that the call doesn't give come from the listener, which has those of the context.
  const limits = mergeOptions("upgrade", offer.host.options, given) as ConnectionOptions;
  const settings = resolveSettings("upgrade", limits);
  const headers = checkHeaders(options.headers, "server");
  const { protocols, selectProtocol, origins } = options;
  const terms = {
    protocols: protocols === undefined ? undefined : checkProtocols(protocols),
    selectProtocol,
    origins: origins === undefined ? undefined : checkOriginRule(origins),
    timeout: timeLimit("upgrade", "handshakeTimeout", options.handshakeTimeout, 10_000),
  };
  const engine = new Engine(registry, "server", settings, pickHandlers(options));
  const connection = makeConnection(engine, {
    url: withWebSocketScheme(request.url),
    home: registry,
    data: options.data as Data,
  });
  offer.take({ ...terms, engine });
  const fields = headers.map(([name, value]): [string, string] => [name, value]);
  return { response: new Response(null, { status: 101, headers: fields }), connection };
}
