import type { ConnectOptions, ListenOptions } from "../mod.ts";
import { checkOriginRule, originAllowed } from "../src/handshake/origin.ts";
import type { Args } from "./args.ts";
import { typed } from "./failure.ts";
import { UsageError } from "./usage.ts";
import { basicCredentials } from "../src/handshake/basic_credentials.ts";

/** The default of `--max-size`, in bytes. */
const LARGEST = 64 * 1024 * 1024;

/** The options of every command that connects. */
export const CLIENT = {
  values: ["proxy", "ca", "timeout", "auth"],
  lists: ["header", "subprotocol"],
  flags: ["insecure", "compression"],
} as const;

/** Further options of commands that only connect. In `relay` these names belong to the listener. */
export const OUTBOUND = { values: ["cert", "key", "unix"] } as const;

/** The options of `connect` that the command line sets. */
export type ClientOptions = Pick<
  ConnectOptions,
  "headers" | "protocols" | "compression" | "connectTimeout" | "proxy" | "tls" | "unix"
>;

/** Reads a URL. The scheme defaults to `ws:`, and the host to this machine if the URL begins with `:`. */
export function urlOf(text: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  return `ws://${text.startsWith(":") ? "localhost" : ""}${text}`;
}

/** Reads the options of `connect`. */
export async function clientOptions(args: Args): Promise<ClientOptions> {
  const ca = args.value("ca");
  const proxy = args.value("proxy");
  return {
    headers: [...args.list("header").map(header), ...authorization(args)],
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

/** Reads the options of {@linkcode OUTBOUND}, and those of every client. */
export async function outboundOptions(args: Args): Promise<ClientOptions> {
  const options = await clientOptions(args);
  const unix = args.value("unix");
  return {
    ...options,
    ...(unix === undefined ? {} : { unix }),
    tls: { ...options.tls, ...(await readKeyAndCertificate(args)) },
  };
}

/** Reads `--max-size`. */
export function sizeOptions(args: Args) {
  const maxMessageSize = args.number("max-size", LARGEST, { whole: true });
  // The queue has room for a message of the largest size even if it is at the high-water mark.
  return { maxMessageSize, maxQueueBytes: maxMessageSize === 0 ? 0 : 2 * maxMessageSize + 65_536 };
}

/** Reads `--cert` and `--key`. */
export async function serverTls(args: Args): Promise<Pick<ListenOptions, "tls">> {
  const tls = await readKeyAndCertificate(args);
  return tls === undefined ? {} : { tls };
}

async function readKeyAndCertificate(
  args: Args,
): Promise<{ cert: string; key: string } | undefined> {
  const cert = args.value("cert"), key = args.value("key");
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    const [given, missing] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new UsageError(`Option --${given} requires --${missing}`);
  }
  return { cert: await readFile("cert", cert), key: await readFile("key", key) };
}

/** Reads `--trust-proxy` and `--proxy-protocol`. */
export function proxyOptions(args: Args): Pick<ListenOptions, "trustProxy" | "proxyProtocol"> {
  const trustProxy = args.list("trust-proxy"), from = args.list("proxy-protocol");
  return {
    ...(trustProxy.length === 0 ? {} : { trustProxy }),
    ...(from.length === 0 ? {} : { proxyProtocol: { from } }),
  };
}

/**
 * Reads `--origin` for a listener. A page in a browser can connect without its visitor's knowledge, so pages may have to be
 * allowed by their origin.
 *
 * @param args The arguments.
 * @param closed Whether no origin is allowed by default.
 * @param refused Called with each origin that is refused.
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

/** `--auth user:password` as a header. */
function authorization(args: Args): [string, string][] {
  const text = args.value("auth");
  if (text === undefined) return [];
  if (!text.includes(":")) throw new UsageError("Option --auth must be USER:PASSWORD");
  return [["Authorization", basicCredentials(text)]];
}

function header(text: string): [string, string] {
  const colon = text.indexOf(":");
  if (colon < 1) throw new UsageError(`Option --header must be "Name: value": received ${text}`);
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

function readFile(option: string, path: string): Promise<string> {
  return reading(option, path, () => Deno.readTextFile(path));
}

/** Opens the file of an option. */
export function openFile(option: string, path: string): Promise<Deno.FsFile> {
  return reading(option, path, () => Deno.open(path));
}

async function reading<T>(option: string, path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const why = error instanceof Deno.errors.NotFound ? "no such file" : (error as Error).message;
    throw new Error(`Cannot read --${option} ${path}: ${why}`);
  }
}
