/** The exit code and the output of a program. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `deno` with arguments, without standard input and colours, until it ends. */
export async function deno(
  args: readonly string[],
  { cwd, env = {} }: { cwd?: string | URL; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a program in a process of its own, with all permissions and the garbage collector, until it ends. */
export function run(program: URL, ...args: unknown[]): Promise<Outcome> {
  const flags = ["-A", "--no-check", "--v8-flags=--expose-gc"];
  return deno(["run", ...flags, program.pathname, ...args.map(String)]);
}

/** Runs a program that measures something; returns the JSON that it prints. */
export async function measure<Figures>(program: URL, ...args: unknown[]): Promise<Figures> {
  const { code, stdout, stderr } = await run(program, ...args);
  if (code !== 0 || stdout === "") throw new Error(`The measurement has failed: ${stderr}`);
  return JSON.parse(stdout);
}

/** Runs the text of a program as a file, with flags of `deno run`, until it ends. */
export async function runText(
  code: string,
  flags: readonly string[],
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code);
    return await deno(["run", "--no-check", ...flags, file, ...args], { env });
  } finally {
    await Deno.remove(file);
  }
}
