import { deno, type Outcome } from "./child.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);

/**
 * The arguments of `deno` for running an example with exactly the permissions that its header names.
 *
 * @param name The file's name without its extension.
 * @param which The index of the command in its header.
 */
export function exampleArgs(name: string, which = 0): string[] {
  const path = new URL(`${name}.ts`, EXAMPLES).pathname;
  const commands = Deno.readTextFileSync(path).matchAll(/deno run (.*) examples\/(\S+)\.ts/g);
  const flags = [...commands].filter(([, , of]) => of === name).map(([, flags]) => flags)[which];
  if (flags === undefined) throw new Error(`The header of ${name}.ts doesn't say how to run it`);
  return ["run", "--no-check", "--no-prompt", ...flags.split(" "), path];
}

/** Runs an example until it ends, with the permissions of its header. */
export function runExample(name: string, ...args: string[]): Promise<Outcome> {
  return deno([...exampleArgs(name), ...args]);
}

/** Starts an example that serves; returns what it prints first. */
export async function serveExample(name: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...exampleArgs(name), "--port", "0"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  return {
    line: value!,
    url: /ws:\S+/.exec(value!)![0],
    async [Symbol.asyncDispose]() {
      child.kill();
      await reader.cancel();
      await child.status;
    },
  };
}
