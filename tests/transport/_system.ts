import type { SocketListener, SocketTransport } from "../../src/transport/sockets.ts";
import { systemSockets } from "../../system.ts";

export const SOCKETS = systemSockets();
export const TCP = { hostname: "127.0.0.1", port: 0, backlog: 128, reusePort: false };

/** Two connected ends. */
export async function pair(
  listener: SocketListener = SOCKETS.listenTcp(TCP),
): Promise<[SocketTransport, SocketTransport]> {
  const { hostname, port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([
    SOCKETS.connectTcp(hostname === "0.0.0.0" ? "127.0.0.1" : hostname, port),
    listener.accept(),
  ]);
  listener.close();
  return [client, server];
}

/** Runs a program with the permissions named; what is open may be counted there, since no other test runs in it. */
export async function run(
  code: string,
  ...permissions: string[]
): Promise<{ code: number; text: string }> {
  const root = new URL("../../", import.meta.url);
  const { code: status, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--quiet",
      ...permissions,
      `data:text/typescript,${encodeURIComponent(code)}`,
    ],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code: status, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

function importOf(names: string, file: string): string {
  return `import { ${names} } from ${
    JSON.stringify(new URL(`../../${file}`, import.meta.url).href)
  };\n`;
}

/** The beginning of a program that has the sockets. */
export const IMPORT: string = importOf("systemSockets", "system.ts");
/** The same, and a listener with its port. */
export const LISTEN: string = `const sockets = systemSockets();
const listener = sockets.listenTcp({ hostname: "127.0.0.1", port: 0, backlog: 8, reusePort: false });
const { port } = listener.addr;\n`;
/** The beginning of a program that has contexts with these sockets. */
export const CONTEXT: string = IMPORT + importOf("Context", "mod.ts");
/** The sockets that a program has open, and what watches them. Files aren't: the runtime opens its caches when it gets to it. */
export const DESCRIPTORS: string = `
const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
  try { return Deno.readLinkSync("/proc/self/fd/" + name); } catch { return ""; }
}).filter((target) => /^(socket|anon_inode):/.test(target)).sort();
const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));
`;
