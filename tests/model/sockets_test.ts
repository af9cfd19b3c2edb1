import net from "node:net";
import { model } from "../../fuzz/model.ts";
import { Random } from "../../fuzz/random.ts";
import { toHex } from "../support/bytes.ts";
import { tcpPair } from "../transport/streams.ts";
import { guarded } from "./judge.ts";
import { drive } from "./drive.ts";
import { describePlan, type Plan, readPlan } from "./plan.ts";
import { Run, type Wire } from "./run.ts";

// The model over sockets of the kernel, in real time: with fewer plans, and without timeouts that need a clock.

const SEEDS = 40;

/** Removes the parts of a plan that need a clock. */
function inRealTime(plan: Plan): Plan {
  return {
    ...plan,
    closeTimeout: 300,
    keepAlive: false,
    sendTimeout: 0,
    messagesPerSecond: 0,
    ending: plan.ending === "silence" ? "close" : plan.ending,
  };
}

/** A wire of two `Deno.Conn`. */
async function connWire(): Promise<Wire & Disposable> {
  const [near, far] = await tcpPair();
  return wire(near, far);
}

/** A wire whose near end is a socket of `node:net`. */
async function socketWire(): Promise<Wire & Disposable> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
  const { port } = server.address() as net.AddressInfo;
  const far = await Deno.connect({ hostname: "127.0.0.1", port });
  const near = await accepted;
  server.close();
  return wire(near, far);
}

function wire(ours: Wire["ours"], far: Deno.TcpConn): Wire & Disposable {
  return {
    ours,
    theirs: far,
    written: () => null,
    misuses: () => [],
    moved: () => 0,
    [Symbol.dispose]() {
      try {
        far.close();
      } catch {
        // The peer has closed it already.
      }
    },
  };
}

for (const [name, connect] of [["Deno.Conn", connWire], ["node:net", socketWire]] as const) {
  Deno.test(`model: ${SEEDS} random sequences over ${name} keep the contract`, async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const input = model.make(new Random(seed));
      using wire = await connect();
      const run = new Run(inRealTime(readPlan(input)), wire, null);
      await guarded(run, () => drive(run));
      if (run.findings.length === 0) continue;
      throw new Error(
        `case ${seed}: ${run.findings[0]}\n${describePlan(input)}\n${run.log.join("\n")}\n` +
          `in memory: deno task fuzz --target model --input ${toHex(input)}`,
      );
    }
  });
}
