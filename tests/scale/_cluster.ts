import { freePort, Redis } from "./_redis.ts";

/** Three masters with a replica each. A failover takes seconds. */
export class Cluster implements AsyncDisposable {
  readonly nodes: Redis[];

  private constructor(nodes: Redis[]) {
    this.nodes = nodes;
  }

  static async start(): Promise<Cluster> {
    const nodes = await Promise.all(Array.from({ length: 6 }, () =>
      // deno-fmt-ignore
      Redis.start(
        "--cluster-enabled", "yes", "--cluster-port", `${freePort()}`,
        "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
      )));
    const cluster = new Cluster(nodes);
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    await cli("--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes");
    await cluster.whole();
    return cluster;
  }

  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** The master that owns the slot of a topic's channel. */
  async masterOf(channel: string): Promise<Redis> {
    const slot = Number(await cli("-p", `${this.nodes[0].port}`, "CLUSTER", "KEYSLOT", channel));
    for (const line of (await cli("-p", `${this.nodes[0].port}`, "CLUSTER", "NODES")).split("\n")) {
      const [, address, flags, , , , , , ...ranges] = line.split(" ");
      const owns = ranges.map((range) => range.split("-").map(Number))
        .some(([from, to = from]) => slot >= from && slot <= to);
      if (!flags?.includes("master") || !owns) continue;
      const port = Number(address.split(":")[1].split("@")[0]);
      return this.nodes.find((node) => node.port === port)!;
    }
    throw new Error("No master owns the slot");
  }

  /** Resolves when all nodes know that all slots are served, and that every master has its replica. */
  async whole(): Promise<void> {
    for (const { port } of this.nodes) {
      for (;;) {
        const info = await cli("-p", `${port}`, "CLUSTER", "INFO");
        const nodes = await cli("-p", `${port}`, "CLUSTER", "NODES");
        if (info.includes("cluster_state:ok") && nodes.split("slave ").length === 4) break;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}

async function cli(...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("redis-cli", { args }).output();
  return new TextDecoder().decode(stdout);
}
