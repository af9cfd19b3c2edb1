/** The options of the load client's command line; load.c takes the same. */
export interface LoadOptions {
  /** What to do with the connections. */
  mode: "echo" | "broadcast" | "handshakes" | "rate" | "idle";
  /** The server's port on loopback. */
  port: number;
  /** How many connections. */
  connections?: number;
  /** Frames in flight on each. */
  depth?: number;
  /** Payload bytes of a frame. */
  size?: number;
  /** Text frames instead of binary ones. */
  text?: boolean;
  /** A bare TCP echo: no handshake, frames come back as they went. */
  raw?: boolean;
  /** Messages that a broadcast sends at a time. */
  batch?: number;
  /** Seconds before the window. */
  warmup?: number;
  /** Seconds of the window. */
  seconds?: number;
  /** The server's process id: adds its CPU time and RSS. */
  pid?: number;
  /** Over TLS, any certificate; only the TypeScript client can. */
  tls?: boolean;
}

/** What the load client prints; latencies in µs, negative where there are none. */
export interface LoadResult {
  messages: number;
  bytes: number;
  seconds: number;
  p50: number;
  p99: number;
  /** CPU seconds of the server in the window. */
  cpu: number;
  /** CPU seconds of the load client in the window. */
  loadCpu: number;
  rssBefore: number;
  rssAfter: number;
}

/** The command line for `options`; flags that are off are left out. */
export function toArguments({ mode, ...rest }: LoadOptions): string[] {
  return [
    mode,
    ...Object.entries(rest).flatMap(([name, value]) =>
      value === true ? [`--${name}`] : typeof value === "number" ? [`--${name}`, String(value)] : []
    ),
  ];
}

/** The options of a command line that {@linkcode toArguments} made. */
export function fromArguments([mode, ...rest]: string[]): Required<LoadOptions> {
  const flag = (name: string) => rest.includes(`--${name}`);
  const number = (name: string, fallback: number) =>
    flag(name) ? Number(rest[rest.indexOf(`--${name}`) + 1]) : fallback;
  return {
    mode: mode as LoadOptions["mode"],
    port: number("port", 0),
    connections: number("connections", 1),
    depth: number("depth", 1),
    size: number("size", 64),
    batch: number("batch", 1),
    warmup: number("warmup", 0.5),
    seconds: number("seconds", 1.5),
    pid: number("pid", 0),
    text: flag("text"),
    raw: flag("raw"),
    tls: flag("tls"),
  };
}
