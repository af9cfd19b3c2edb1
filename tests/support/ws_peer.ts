import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deno } from "./child.ts";

const PROGRAM = new URL("../interop/peers/ws_node.mjs", import.meta.url);

/** An event that the peer's program reports. */
export type WsEvent =
  | { event: "listening"; port: number }
  | { event: "open"; protocol: string }
  | { event: "ping" | "pong"; payload: string }
  | { event: "error"; message: string }
  | { event: "close"; code: number; reason: string };

/** The directory of the npm package `ws` in the runtime's cache. */
async function wsDirectory(): Promise<string> {
  const { default: map } = await import("../../import_map.json", { with: { type: "json" } });
  const version = map.imports["ws"].split("@").at(-1)!;
  await import("ws");
  const { npmCache } = JSON.parse((await deno(["info", "--json"])).stdout);
  for await (const registry of Deno.readDir(npmCache)) {
    const directory = join(npmCache, registry.name, "ws", version);
    if (await Deno.stat(directory).then(() => true, () => false)) return directory;
  }
  throw new Error(`Not cached: ws ${version} in ${npmCache}`);
}

/** The npm package `ws` on Node, in a process of its own. */
export class WsPeer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts a server, or a client that connects to a URL. */
  static async start(role: "server" | "client", ...args: string[]): Promise<WsPeer> {
    const directory = await wsDirectory();
    const command = new Deno.Command("node", {
      args: [fileURLToPath(PROGRAM), role, directory, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    });
    return new WsPeer(command.spawn());
  }

  /** Returns the next event. */
  async next(): Promise<WsEvent> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return JSON.parse(line);
      }
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("The peer's process has ended");
      this.#rest += value;
    }
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#lines.cancel();
    await this.#child.status;
  }
}
