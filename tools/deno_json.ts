/** Runs a command of `deno` that prints JSON, and reads that. */
export async function denoJson<T>(...args: string[]): Promise<T> {
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
