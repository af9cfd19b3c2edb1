import type { SocketListener, SocketTransport } from "../../src/transport/sockets.ts";
import { systemSockets } from "../../system.ts";
import { deno } from "../support/child.ts";

export const SOCKETS = systemSockets();
export const TCP = { hostname: "127.0.0.1", port: 0, backlog: 128, reusePort: false };

/** Makes two connected sockets. */
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

/** Runs a program with the given permissions. It can count open descriptors, since no other test runs in its process. */
export async function run(
  code: string,
  ...permissions: string[]
): Promise<{ code: number; text: string }> {
  const program = `data:text/typescript,${encodeURIComponent(code)}`;
  const { code: status, stdout, stderr } = await deno(
    ["run", "--no-check", "--quiet", ...permissions, program],
    { cwd: new URL("../../", import.meta.url) },
  );
  return { code: status, text: stdout + stderr };
}

function importOf(names: string, file: string): string {
  return `import { ${names} } from ${
    JSON.stringify(new URL(`../../${file}`, import.meta.url).href)
  };\n`;
}

/** The beginning of a program that uses the sockets. */
export const IMPORT: string = importOf("systemSockets", "system.ts");
/** The same, with a listener and its port. */
export const LISTEN: string = `const sockets = systemSockets();
const listener = sockets.listenTcp({ hostname: "127.0.0.1", port: 0, backlog: 8, reusePort: false });
const { port } = listener.addr;\n`;
/** The beginning of a program whose contexts use the sockets. */
export const CONTEXT: string = IMPORT + importOf("Context", "mod.ts");
/** Lists the open sockets and pollers of a program. Files aren't listed, since the runtime opens its caches at any time. */
export const DESCRIPTORS: string = `
const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
  try { return Deno.readLinkSync("/proc/self/fd/" + name); } catch { return ""; }
}).filter((target) => /^(socket|anon_inode):/.test(target)).sort();
const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));
`;
