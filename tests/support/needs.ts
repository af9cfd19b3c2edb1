// Programs that tests need. Without one its tests are skipped, or fail with `CI=true`.
import { PATIENCE, turn } from "./until.ts";

const DIRECTORIES = [
  ...(Deno.env.get("PATH") ?? "").split(":"),
  ...["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"],
];

/** The path of the first of some programs that is installed; `null` if none is. */
export function findProgram(...names: string[]): string | null {
  for (const name of names) {
    for (const directory of DIRECTORIES) {
      try {
        if (Deno.statSync(`${directory}/${name}`).isFile) return `${directory}/${name}`;
      } catch {
        // It isn't in this directory.
      }
    }
  }
  return null;
}

/** Whether to skip a test because a program is missing. */
export function skip(found: string | null, name: string): boolean {
  if (found !== null) return false;
  if (Deno.env.get("CI") === "true") {
    throw new Error(`${name} is not installed, and with CI=true nothing is skipped`);
  }
  console.warn(`skipped: ${name} is not installed`);
  return true;
}

/** Starts a program that serves on a port, and waits until it does. Disposing ends it. */
export async function startServer(
  program: string,
  args: string[],
  port: number,
): Promise<AsyncDisposable> {
  const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
  for (const start = Date.now();;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch (error) {
      if (Date.now() - start > PATIENCE) throw error;
      await turn();
    }
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
