/**
 * A chat room on all cores of a machine: every client gets every message. Each worker, or each process with
 * `--processes`, listens on the same port (`reusePort`, Linux), and the kernel deals out the connections.
 *
 *     deno run --allow-net --allow-read --allow-sys=cpus --unstable-net examples/multicore_server.ts --port 8080
 *     deno run --allow-net --allow-run --allow-env --allow-read --allow-sys=cpus,hostname --unstable-net examples/multicore_server.ts
 *         --port 8080 --processes --redis redis://127.0.0.1:6379
 *
 * Workers share topics through a hub in the main thread. Processes share nothing, so their topics meet in Redis; with
 * `--redis`, workers use it too, and so do several machines. Workers need `--allow-read` since their program is a file.
 *
 * Try it: `sluice connect ws://127.0.0.1:8080` in several terminals; each learns which server it has.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type Broker, Context, WorkerBroker, WorkerHub } from "@sluice/websocket";

// Imported only if it is used, by a name that Deno can't resolve beforehand: the client for Redis is a dependency.
const REDIS = "@sluice/websocket/redis";

interface Options {
  hostname: string;
  port: number;
  redis?: string;
  /** The number of the worker or process. */
  number: number;
}

// The type of `self` in a worker; the type checker takes it for a window.
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Options & { hubPort?: MessagePort } | "shutdown">) => void;
  postMessage(message: unknown): void;
  close(): void;
};
const isWorker = !("document" in self) && "WorkerGlobalScope" in self;

/** The server of one core. */
async function serve(
  { hostname, port, redis, number }: Options,
  broker?: Broker,
): Promise<Context> {
  if (redis !== undefined) {
    const { RedisBroker }: typeof import("@sluice/websocket/redis") = await import(REDIS);
    broker = new RedisBroker({ url: redis });
  }
  const context = new Context({ broker });
  await context.ready;
  context.listen({
    hostname,
    port,
    reusePort: true,
    onConnect: async (conn) => {
      conn.subscribe("chat");
      // Once the broker has the subscription, this server misses no message of the others.
      await context.ready;
      if (conn.state === "open") conn.send(`welcome to server ${number}`);
    },
    // A slow receiver misses a message, so that its queue can't grow.
    onMessage: (_conn, data) => context.publish("chat", data, { slow: "drop" }),
  });
  return context;
}

/** The main thread: a worker per core, and the hub between them. */
function runWorkers(options: Options, cores: number): () => Promise<void> {
  const hub = new WorkerHub();
  const ends: Promise<void>[] = [];
  const workers = Array.from({ length: cores }, (_, number) => {
    const worker = new Worker(import.meta.url, { type: "module" });
    const { port: hubPort } = hub.connect();
    ends.push(
      new Promise((resolve) => {
        worker.onmessage = ({ data }) => data === "ended" ? resolve() : console.log(data);
      }),
    );
    worker.postMessage({ ...options, number, hubPort }, [hubPort]);
    return worker;
  });
  return async () => {
    for (const worker of workers) worker.postMessage("shutdown");
    await Promise.all(ends);
    hub.close();
  };
}

/** The parent: a process per core. One that crashes takes only its own connections with it. */
function runProcesses(options: Options, cores: number): () => Promise<void> {
  const children = Array.from({ length: cores }, (_, number) =>
    new Deno.Command(Deno.execPath(), {
      // deno-fmt-ignore
      args: ["run", "--allow-net", "--allow-env", "--allow-read", "--allow-sys", "--unstable-net", import.meta.url,
        "--hostname", options.hostname, "--port", `${options.port}`, "--number", `${number}`,
        ...(options.redis ? ["--redis", options.redis] : [])],
    }).spawn());
  return async () => {
    for (const child of children) child.kill("SIGTERM");
    await Promise.all(children.map(({ status }) => status));
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      hostname: { type: "string", default: "127.0.0.1" },
      port: { type: "string", default: "8080" },
      cores: { type: "string" },
      redis: { type: "string" },
      processes: { type: "boolean", default: false },
      number: { type: "string" },
    },
  });
  const { hostname, redis } = values;
  const options = { hostname, port: Number(values.port), redis, number: 0 };
  const cores = values.cores === undefined ? availableParallelism() : Number(values.cores);
  let stop: () => Promise<unknown>;
  if (values.number !== undefined) {
    const number = Number(values.number);
    const context = await serve({ ...options, number });
    console.log(`server ${number} is listening on port ${options.port}`);
    stop = () => context.shutdown();
  } else {
    stop = values.processes ? runProcesses(options, cores) : runWorkers(options, cores);
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      await stop();
      Deno.exit(0);
    });
  }
}

if (isWorker) {
  let context: Context;
  scope.onmessage = async ({ data }) => {
    if (data === "shutdown") {
      await context.shutdown();
      scope.postMessage("ended");
      scope.close();
    } else {
      context = await serve(data, data.hubPort && new WorkerBroker(data.hubPort));
      scope.postMessage(`server ${data.number} is listening on port ${data.port}`);
    }
  };
} else {
  await main();
}
