// Measures what an echo server under full load leaves to the rest of its program, with Deno's sockets and with the
// kernel's own:
//
//   deno task bench:turns [--only LOAD] [--seconds N]
//
// Prints how late a timer of 10 ms is, how long it takes to read a small file and to get 64 bytes over a socket of the
// runtime's, and the server's share of a core. Ends with 1 if a timer is more than 15 ms late with system sockets. The
// latest one in a hundred doesn't count: on a machine that other programs use, they cause it.

import { plainLoad } from "./lib/measure.ts";
import { denoScript, runScript } from "./lib/peers.ts";
import { type LoadOptions, toArguments } from "./load/options.ts";
import { readOptions } from "../tools/options.ts";

const { values } = readOptions({
  only: { type: "string" },
  seconds: { type: "string", default: "3" },
});
const seconds = Number(values.seconds);
const LATEST = 15;
const PATIENCE = 60_000;

type Load = Omit<LoadOptions, "port" | "warmup" | "seconds">;
const loads: Record<string, Load> = {
  "1x1x64": { mode: "echo", connections: 1, depth: 1, size: 64 },
  "50x1x64": { mode: "echo", connections: 50, depth: 1, size: 64 },
  "10x64x64": { mode: "echo", connections: 10, depth: 64, size: 64 },
  "1000x16x64": { mode: "echo", connections: 1000, depth: 16, size: 64 },
  "100x4x16384": { mode: "echo", connections: 100, depth: 4, size: 16_384 },
  "16x4x1048576": { mode: "echo", connections: 16, depth: 4, size: 1024 * 1024 },
  "10,000 a second": { mode: "rate", connections: 10_000, size: 64 },
  "handshakes": { mode: "handshakes", connections: 64 },
};

const { command } = await plainLoad;
const ms = ({ p50, p99, max }: Record<string, number>) =>
  [p50, p99, max].map((value) => value.toFixed(1)).join(" / ");
console.log(`| load | sockets | timer late, ms | file, ms | socket, ms | core |
| --- | --- | ---: | ---: | ---: | ---: |`);
const late: string[] = [];
for (const [name, load] of Object.entries(loads)) {
  if (values.only !== undefined && values.only !== name) continue;
  for (const sockets of ["deno", "system"]) {
    await using server = runScript(
      [...denoScript("turns_server.ts"), sockets, String(seconds)],
      0,
    );
    const [, port] = await server.line(/:(\d+)\//, PATIENCE);
    const args = toArguments({ ...load, port: Number(port), pid: server.pid, warmup: 1, seconds });
    await using client = runScript([...command, ...args], 1);
    const [[told], [figures]] = await Promise.all([
      server.line(/^\{.*\}$/, PATIENCE),
      client.line(/^\{.*\}$/, PATIENCE),
    ]);
    const { timer, file, socket } = JSON.parse(told);
    const { cpu, seconds: took } = JSON.parse(figures);
    const share = `${Math.round(cpu / took * 100)} %`;
    console.log(`| ${name} | ${sockets} | ${ms(timer)} | ${ms(file)} | ${ms(socket)} | ${share} |`);
    if (sockets === "system" && timer.p99 > LATEST) {
      late.push(`${name}: ${timer.p99.toFixed(1)} ms`);
    }
  }
}
console.log("p50 / p99 / latest");
if (late.length > 0) {
  console.error(`A timer is more than ${LATEST} ms late: ${late.join(", ")}`);
  Deno.exit(1);
}
