import { assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";

// The check of the examples, run on a package of a few declarations.

const TOOLS = new URL("../../tools/", import.meta.url).pathname;

const PROGRAM = ["@example", "```ts", 'new Pump().start("now");', "```"].map((line) => ` * ${line}`)
  .join("\n");

const WHOLE = `/**
 * Moves messages.
 *
${PROGRAM}
 */
export class Pump {
  /** Begins. */
  start(_when: When): void {}
}
/** When; see {@linkcode Pump.prototype.start}. */
export type When = "now" | "later";
/** The same, by an older name. */
export type Moment = When;
/** What a pump says. */
export interface Said {
  /** The words. @see {@linkcode Pump} */
  words: string;
}
`;

/** Runs the check on a source file; returns its output. */
async function check(source: string): Promise<string[]> {
  const root = await Deno.makeTempDir();
  try {
    for (const dir of ["docs", "src", "tools"]) await Deno.mkdir(`${root}/${dir}`);
    for (const name of ["examples.ts", "deno_json.ts"]) {
      await Deno.copyFile(TOOLS + name, `${root}/tools/${name}`);
    }
    await Deno.writeTextFile(`${root}/deno.json`, '{ "exports": { ".": "./mod.ts" } }');
    await Deno.writeTextFile(`${root}/README.md`, "# Pumps\n");
    await Deno.writeTextFile(`${root}/mod.ts`, source);
    const flags = ["--quiet", "--allow-read", "--allow-run"];
    const { stderr, code } = await deno(["run", ...flags, `${root}/tools/examples.ts`]);
    const problems = stderr.split("\n").filter((line) => line !== "");
    assertEquals(code === 0, problems.length === 0);
    return problems;
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("the check of the examples names each symbol without an example or a link to one", async (t) => {
  const linked = WHOLE.replace("What a pump says.", "What {@linkcode Pump} says.");

  await t.step("a program, a link and an alias count", async () => {
    assertEquals(await check(linked), []);
  });

  await t.step("a link of a member doesn't count for its interface", async () => {
    assertEquals(await check(WHOLE), ["Said of . has no @example, and links to none"]);
  });

  await t.step("a link isn't enough for a class", async () => {
    const bare = linked.replace(PROGRAM, " * @see {@linkcode Said}");
    assertEquals(await check(bare), [
      "Pump of . has no @example, and links to none",
      "Pump.start of . is in no program of the documentation",
      "When of . has no @example, and links to none",
      "Moment of . has no @example, and links to none",
      "Said of . has no @example, and links to none",
    ]);
  });

  await t.step("a method needs a program that uses it", async () => {
    const unused = linked.replace("new Pump().start", "new Pump().begin");
    assertEquals(await check(unused), [
      "Pump.start of . is in no program of the documentation",
      "When of . has no @example, and links to none",
      "Moment of . has no @example, and links to none",
    ]);
  });
});
