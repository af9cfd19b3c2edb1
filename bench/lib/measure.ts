// The kinds of measurement that the rows of the table use.

import { join } from "node:path";
import { type LoadOptions, type LoadResult, toArguments } from "../load/options.ts";
import { attempt, CACHE } from "./cache.ts";
import type { Child } from "./process.ts";
import {
  denoScript,
  type Peer,
  runPeer,
  runScript,
  type ServerOptions,
  startServer,
} from "./peers.ts";

const SLACK = 90_000;

/** How long a measurement takes. */
export interface Times {
  warmup: number;
  seconds: number;
}

/** The result of a measurement, from which figures take their numbers. */
export type Sample = Partial<LoadResult> & { messages: number; seconds: number };

/** One measurement of one peer. `all` are the peers of this run. */
export type Measurement = (peer: Peer, times: Times, all: Peer[]) => Promise<Sample>;

const SOURCE = join(import.meta.dirname!, "..", "load", "load.c");
const TYPESCRIPT = denoScript("load", "load.ts");

async function resultOf(child: Child, mode: LoadOptions["mode"]): Promise<Sample> {
  const sample = JSON.parse((await child.line(/^\{.*\}$/, SLACK))[0]);
  if (mode !== "idle" && !(sample.messages > 0)) throw new Error("Nothing came back");
  return sample;
}

/** The load client: compiled C where there is a compiler, else TypeScript. */
export async function prepareLoad(): Promise<{ command: string[]; description: string }> {
  await Deno.mkdir(CACHE, { recursive: true });
  const binary = join(CACHE, `load-${Deno.pid}`);
  if (await attempt("cc", "-O2", "-o", binary, SOURCE) === undefined) {
    return { command: TYPESCRIPT, description: "TypeScript, since cc is not here" };
  }
  // Renamed into place, so that a run at the same time never reads half a file.
  const final = join(CACHE, "load");
  await Deno.rename(binary, final);
  return { command: [final], description: "C, over TLS TypeScript" };
}

/** The load client, made once for a run. */
export const plainLoad = prepareLoad();

/** Which load client it is, for the report. */
export async function loadDescription(): Promise<string> {
  return (await plainLoad).description;
}

/** A server on one core, the load client on the other. */
export function load(
  mode: LoadOptions["mode"],
  options: Omit<LoadOptions, "mode" | "port">,
  server: ServerOptions = {},
): Measurement {
  return async (peer, times) => {
    await using running = await startServer(peer, server);
    const { port, pid } = running;
    const args = toArguments({
      mode,
      port,
      pid,
      raw: peer.name === "tcp",
      tls: server.tls,
      ...times,
      ...options,
    });
    const command = server.tls ? TYPESCRIPT : (await plainLoad).command;
    await using client = runScript([...command, ...args], 1);
    return await resultOf(client, mode);
  };
}

/** The peer's client library on its own core, against the fastest server there is; without depth it is idle. */
export function client(options: Omit<LoadOptions, "mode" | "port">): Measurement {
  return async (peer, times, all) => {
    const fixed = all.find(({ name }) => name === "bun") ?? all.find(({ name }) => name === "ws");
    if (fixed === undefined) throw new Error("Neither Bun nor ws is here to be the server");
    await using running = await startServer(fixed, {});
    const args = toArguments({ mode: "echo", port: 0, ...times, ...options });
    await using child = runPeer(peer, ["client", "--url", running.url, ...args], 1);
    return await resultOf(child, options.depth === 0 ? "idle" : "echo");
  };
}

/** The peer's server and client in one process. */
export function oneProcess(options: Omit<LoadOptions, "mode" | "port">): Measurement {
  return async (peer, times) => {
    const args = toArguments({ mode: "echo", port: 0, ...times, ...options });
    await using child = runPeer(peer, ["both", ...args], 0);
    return await resultOf(child, "echo");
  };
}
