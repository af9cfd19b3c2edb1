import type { ConnectOptions, ListenOptions } from "../mod.ts";
import { checkOriginRule, originAllowed } from "../src/handshake/origin.ts";
import type { Args } from "./args.ts";
import { typed } from "./failure.ts";
import { UsageError } from "./usage.ts";

/** What a message may weigh where `--max-size` doesn't say. */
const LARGEST = 64 * 1024 * 1024;

/** The options of every command that connects. */
export const CLIENT = {
  values: ["proxy", "ca", "timeout"],
  lists: ["header", "subprotocol"],
  flags: ["insecure", "compression"],
} as const;

/** What those options set. */
export type ClientOptions = Pick<
  ConnectOptions,
  "headers" | "protocols" | "compression" | "connectTimeout" | "proxy" | "tls"
>;

/** Reads the options of `connect`. */
export async function clientOptions(args: Args): Promise<ClientOptions> {
  const ca = args.value("ca");
  const proxy = args.value("proxy");
  return {
    headers: args.list("header").map(header),
    protocols: args.list("subprotocol"),
    compression: args.flag("compression"),
    connectTimeout: args.number("timeout", 10) * 1000,
    ...(proxy === undefined ? {} : { proxy: proxy === "none" ? null : proxy }),
    tls: {
      ...(ca === undefined ? {} : { caCerts: [await readFile("ca", ca)] }),
      ...(args.flag("insecure") ? { insecure: true } : {}),
    },
  };
}

/** Sizes that both kinds of commands limit alike. */
export function sizeOptions(args: Args) {
  const maxMessageSize = args.number("max-size", LARGEST, { whole: true });
  // Room for one message of the largest size beyond what is below the high-water mark.
  return { maxMessageSize, maxQueueBytes: maxMessageSize === 0 ? 0 : 2 * maxMessageSize + 65_536 };
}

/** Reads `--cert` and `--key`. */
export async function serverTls(args: Args): Promise<Pick<ListenOptions, "tls">> {
  const cert = args.value("cert"), key = args.value("key");
  if (cert === undefined && key === undefined) return {};
  if (cert === undefined || key === undefined) {
    const [given, missing] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new UsageError(`Option --${given} requires --${missing}`);
  }
  return { tls: { cert: await readFile("cert", cert), key: await readFile("key", key) } };
}

/** Reads which proxies are believed when they say where a client comes from. */
export function proxyOptions(args: Args): Pick<ListenOptions, "trustProxy" | "proxyProtocol"> {
  const trustProxy = args.list("trust-proxy"), from = args.list("proxy-protocol");
  return {
    ...(trustProxy.length === 0 ? {} : { trustProxy }),
    ...(from.length === 0 ? {} : { proxyProtocol: { from } }),
  };
}

/**
 * Reads `--origin` for a listener. What a browser's page may do here its visitor has not asked for, so those of other
 * origins are let in only by name.
 *
 * @param args The arguments.
 * @param closed Whether no origin is let in unless it is named.
 * @param refused Gets each origin that isn't.
 */
export function originOption(
  args: Args,
  closed: boolean,
  refused: (origin: string) => void,
): Pick<ListenOptions, "origins"> {
  const list = args.list("origin");
  if (list.includes("*") || (list.length === 0 && !closed)) return { origins: () => true };
  const rule = typed(() => checkOriginRule(list));
  return {
    origins(origin) {
      if (originAllowed(rule, origin)) return true;
      refused(origin);
      return false;
    },
  };
}

function header(text: string): [string, string] {
  const colon = text.indexOf(":");
  if (colon < 1) throw new UsageError(`Option --header must be "Name: value": received ${text}`);
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

async function readFile(option: string, path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const why = error instanceof Deno.errors.NotFound ? "no such file" : (error as Error).message;
    throw new Error(`Cannot read --${option} ${path}: ${why}`);
  }
}
