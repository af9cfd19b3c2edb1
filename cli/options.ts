import type { ConnectOptions, ListenOptions } from "../mod.ts";
import type { Args } from "./args.ts";
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
  // Room for one message of the largest size behind what is below the high-water mark.
  return { maxMessageSize, maxQueueBytes: maxMessageSize === 0 ? 0 : 2 * maxMessageSize + 65_536 };
}

/** Reads `--cert` and `--key`. */
export async function serverTls(args: Args): Promise<Pick<ListenOptions, "tls">> {
  const cert = args.value("cert"), key = args.value("key");
  if (cert === undefined && key === undefined) return {};
  if (cert === undefined || key === undefined) {
    throw new UsageError(`Option --${cert === undefined ? "key" : "cert"} needs the other one too`);
  }
  return { tls: { cert: await readFile("cert", cert), key: await readFile("key", key) } };
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
