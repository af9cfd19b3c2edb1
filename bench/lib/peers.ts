import { join } from "node:path";
import { attempt, certificate, npmPackage } from "./cache.ts";
import { Child, type Core } from "./process.ts";

/** The version of the npm package `ws` that is measured. */
export const WS_VERSION = "8.23.0";
const BUN_VERSION = "1.4.5";
const BENCH = join(import.meta.dirname!, "..");
const ECHO_EXAMPLE = join(BENCH, "..", "examples", "echo_server.ts");
const START_TIMEOUT = 20_000;

/** What is compared. */
export type PeerName = "sluice" | "system" | "deno" | "ws" | "ws-deno" | "bun" | "tcp";

/** One peer. */
export interface Peer {
  /** Short name, as on the command line. */
  name: PeerName;
  /** Name in tables. */
  label: string;
  /** The command that runs a script of its runtime. */
  runtime: string[];
  /** Its module in bench/peers. */
  module: string;
  /** The version of a package that was installed for it. */
  version?: string;
}

/** How to start a server. */
export interface ServerOptions {
  /** Broadcast rather than echo. */
  broadcast?: boolean;
  /** With the self-signed certificate. */
  tls?: boolean;
}

const deno = [Deno.execPath(), "run", "-A", "--no-check", "--quiet"];
const environment: Record<string, string> = {};

/** The path of Bun's program, which depends on npm; `undefined` where Bun doesn't run. */
async function findBun(): Promise<string | undefined> {
  const modules = await npmPackage("bun", BUN_VERSION).then((path) => join(path, "node_modules"))
    .catch(() => undefined);
  if (modules === undefined) return undefined;
  const candidates = [join(modules, "bun", "bin", "bun.exe")];
  // Where npm runs no install scripts, the binary is still in its package for this platform.
  for (const { name } of Deno.readDirSync(join(modules, "@oven"))) {
    candidates.push(join(modules, "@oven", name, "bin", "bun"));
  }
  for (const path of candidates) {
    if (await attempt(path, "--version") === BUN_VERSION) return path;
  }
}

/** Installs the peers `names`; `missing` is called for those that can't be installed. */
export async function preparePeers(
  names: PeerName[],
  missing: (name: PeerName, why: string) => void,
): Promise<Peer[]> {
  const { cert, key } = await certificate();
  Object.assign(environment, { BENCH_TLS_CERT: cert, BENCH_TLS_KEY: key });
  const find: Record<PeerName, () => Promise<Omit<Peer, "name"> | undefined>> = {
    sluice: () => Promise.resolve({ label: "Sluice", runtime: deno, module: "sluice.ts" }),
    system: () =>
      Promise.resolve({
        label: "Sluice, system sockets",
        runtime: ["env", "BENCH_SOCKETS=system", ...deno],
        module: "sluice.ts",
      }),
    deno: () => Promise.resolve({ label: "Deno native", runtime: deno, module: "deno_native.ts" }),
    ws: async () => {
      environment.BENCH_MODULES = await npmPackage("ws", WS_VERSION);
      return { label: "ws on Node", runtime: ["node"], module: "ws_node.mjs", version: WS_VERSION };
    },
    "ws-deno": async () => {
      environment.BENCH_MODULES = await npmPackage("ws", WS_VERSION);
      return { label: "ws on Deno", runtime: deno, module: "ws_node.mjs", version: WS_VERSION };
    },
    bun: async () => {
      const bun = await findBun();
      return bun === undefined
        ? undefined
        : { label: "Bun", runtime: [bun], module: "bun_echo.ts", version: BUN_VERSION };
    },
    tcp: () => Promise.resolve({ label: "bare TCP", runtime: deno, module: "deno_tcp.ts" }),
  };
  const peers: Peer[] = [];
  for (const name of names) {
    try {
      const peer = await find[name]();
      if (peer) peers.push({ name, ...peer });
      else missing(name, "npm could not install a version that runs here");
    } catch (error) {
      missing(name, (error as Error).message);
    }
  }
  return peers;
}

/** Runs a peer's module in a role of peers/run.mjs. */
export function runPeer(peer: Peer, args: string[], core: Core): Child {
  const script = join(BENCH, "peers", "run.mjs");
  return new Child([...peer.runtime, script, peer.module, ...args], core, environment);
}

/** Runs the load client or another Deno script of this directory. */
export function runScript(command: string[], core: Core): Child {
  return new Child(command, core, environment);
}

/** The command that runs a TypeScript file of this directory. */
export function denoScript(...path: string[]): string[] {
  return [...deno, join(BENCH, ...path)];
}

/** A server that is listening. */
export interface Server extends AsyncDisposable {
  url: string;
  port: number;
  pid: number;
}

/** Starts a peer's server and waits until it listens. */
export async function startServer(peer: Peer, options: ServerOptions): Promise<Server> {
  const flags = Object.entries(options).filter(([, on]) => on).map(([name]) => `--${name}`);
  const plainEcho = peer.module === "sluice.ts" && flags.length === 0;
  // Sluice is measured as its users run it: the example, with default settings.
  const sockets = peer.name === "system" ? "system" : "deno";
  const example = [ECHO_EXAMPLE, "--port", "0", "--hostname", "127.0.0.1", "--sockets", sockets];
  const child = plainEcho
    ? runScript([...deno, ...example], 0)
    : runPeer(peer, ["serve", ...flags], 0);
  try {
    const [, url, port] = await child.line(/listening on (\S+:(\d+)\/)/, START_TIMEOUT);
    const stop = () => child[Symbol.asyncDispose]();
    return { url, port: Number(port), pid: child.pid, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}
