// Runs one peer in one role, in whichever runtime starts this file.
//
//   run.mjs MODULE serve  [--broadcast] [--tls]     an echo (or broadcast) server on a free port
//   run.mjs MODULE client --url URL [load options]  an echo load through the peer's client
//   run.mjs MODULE both   [load options]            server and client in one process
//
// A peer module exports `serve({ broadcast, tls })`, which resolves with the port, and
// `connect(url, size, onMessage)`, which resolves with a function that sends one message.
// In broadcast mode the first byte of a message says how often it goes to every client.

import { readFileSync } from "node:fs";
import process from "node:process";
import { drive } from "./drive.mjs";

const [module, role, ...rest] = process.argv.slice(2);
const flag = (name) => rest.includes(`--${name}`);
const value = (name, fallback) => flag(name) ? rest[rest.indexOf(`--${name}`) + 1] : fallback;

/** The certificate that the harness made, from the environment. */
function certificate() {
  const read = (name) => readFileSync(process.env[name], "utf8");
  return { cert: read("BENCH_TLS_CERT"), key: read("BENCH_TLS_KEY") };
}

const peer = await import(`./${module}`);
const load = {
  connections: Number(value("connections", 1)),
  depth: Number(value("depth", 1)),
  size: Number(value("size", 64)),
  warmup: Number(value("warmup", 0.5)),
  seconds: Number(value("seconds", 1.5)),
};

async function serve() {
  const tls = flag("tls") ? certificate() : undefined;
  const port = await peer.serve({ broadcast: flag("broadcast"), tls });
  return `${tls ? "wss" : "ws"}://127.0.0.1:${port}/`;
}

if (role === "serve") {
  console.log(`listening on ${await serve()}`);
} else {
  const url = role === "both" ? await serve() : value("url");
  console.log(JSON.stringify(await drive(peer.connect, url, load)));
  process.exit(0);
}
