/** Whether a program is installed; where it isn't, tests that need it are skipped, but fail with `CI=true`. */
export async function has(...names: string[]): Promise<string | null> {
  for (const name of names) {
    try {
      const { success } = await new Deno.Command("sh", {
        args: ["-c", `command -v ${name}`],
        stdout: "null",
        stderr: "null",
      }).output();
      if (success) return name;
    } catch {
      // No shell, so nothing of what is asked for.
    }
  }
  return null;
}

/** Whether a test is to be skipped for want of a program. */
export function skip(found: string | null, name: string): boolean {
  if (found !== null) return false;
  if (Deno.env.get("CI") === "true") {
    throw new Error(`${name} is not installed, and with CI=true nothing is skipped`);
  }
  console.warn(`skipped: ${name} is not installed`);
  return true;
}
