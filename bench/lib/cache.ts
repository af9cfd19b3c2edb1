// Files that the benchmarks need and that aren't in the repository: pinned npm packages, a compiled load client, a
// certificate. They are made on demand in one directory below that for temporary files.

import { join } from "node:path";
import { tmpdir } from "node:os";

/** The directory of all of them. */
export const CACHE = join(tmpdir(), "sluice-bench");

/** Runs a command to its end; resolves with its standard output, rejects with its standard error. */
export async function run(command: string[]): Promise<string> {
  const [program, ...args] = command;
  const result = await new Deno.Command(program, { args, stdin: "null" }).output();
  if (result.success) return new TextDecoder().decode(result.stdout).trim();
  throw new Error(`${program} failed: ${new TextDecoder().decode(result.stderr).trim()}`);
}

/** Like {@linkcode run}, but `undefined` where the command is missing or fails. */
export async function attempt(...command: string[]): Promise<string | undefined> {
  return await run(command).catch(() => undefined);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Installs one package with npm; resolves with the directory that has its `node_modules`. */
export async function npmPackage(name: string, version: string): Promise<string> {
  const directory = join(CACHE, `${name}-${version}`);
  if (await exists(join(directory, "node_modules", name, "package.json"))) return directory;
  await Deno.mkdir(directory, { recursive: true });
  await run([
    "npm",
    "install",
    `--prefix=${directory}`,
    "--no-save",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    `${name}@${version}`,
  ]);
  return directory;
}

/** A self-signed certificate for localhost and 127.0.0.1. */
export async function certificate(): Promise<{ cert: string; key: string }> {
  const cert = join(CACHE, "cert.pem");
  const key = join(CACHE, "key.pem");
  if (await attempt("openssl", "x509", "-in", cert, "-noout", "-checkend", "3600") === undefined) {
    await Deno.mkdir(CACHE, { recursive: true });
    await run([
      ..."openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256".split(" "),
      ..."-days 30 -subj /CN=localhost".split(" "),
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-keyout", key, "-out", cert],
    ]);
  }
  return { cert, key };
}
