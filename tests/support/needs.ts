/** Finds an installed program. Without it, tests that need it are skipped, or fail with `CI=true`. */
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
      // There is no shell, so no program either.
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
