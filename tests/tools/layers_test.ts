import { assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";

// The check of the layers, run on a copy of the sources with one change at a time.

const ROOT = new URL("../../", import.meta.url).pathname;

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Runs the check on a copy of the sources. */
async function check(root: string): Promise<{ passes: boolean; problems: string[] }> {
  const args = ["run", "--allow-read", "--allow-run", `${root}/tools/layers.ts`];
  const { code, stderr } = await deno(args, { cwd: root });
  return {
    passes: code === 0,
    problems: stderr.trim().split("\n").filter((line) => line !== ""),
  };
}

Deno.test("the check of the layers reports an upward import, a circle, and a file that is too long", async (t) => {
  const root = await Deno.makeTempDir();
  /** Changes a file during a step. */
  const change = (path: string, edit: (text: string) => string) => async () => {
    const original = await Deno.readTextFile(`${root}/${path}`);
    await Deno.writeTextFile(`${root}/${path}`, edit(original));
    const found = await check(root);
    await Deno.writeTextFile(`${root}/${path}`, original);
    return found;
  };
  try {
    for (const folder of ["src", "cli", "tools"]) await copy(ROOT + folder, `${root}/${folder}`);
    const { exports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
    for (const file of ["deno.json", "import_map.json", ...Object.values<string>(exports)]) {
      await Deno.copyFile(ROOT + file, `${root}/${file}`);
    }

    await t.step("the unchanged sources pass", async () => {
      assertEquals(await check(root), { passes: true, problems: [] });
    });

    await t.step("a reversed import is reported", async () => {
      // `sender.ts` imports `send_queue.ts`; now both import each other.
      const turned = change(
        "src/flow/send_queue.ts",
        (text) => `import { Sender } from "../engine/sender.ts";\n${text}\nexport { Sender };\n`,
      );
      const { passes, problems } = await turned();
      assertEquals(passes, false);
      assertEquals(
        problems[0],
        "src/flow/send_queue.ts imports src/engine/sender.ts, which isn't below it",
      );
    });

    await t.step("an import of a type counts", async () => {
      const typed = change(
        "src/util/fifo.ts",
        (text) =>
          `import type { Role } from "../protocol/opcode.ts";\n${text}\nexport type { Role };`,
      );
      assertEquals(await typed(), {
        passes: false,
        problems: ["src/util/fifo.ts imports src/protocol/opcode.ts, which isn't below it"],
      });
    });

    await t.step("a circle within a folder is reported", async () => {
      const circle = change(
        "src/util/quote.ts",
        (text) =>
          `import type { show } from "./show.ts";\n${text}\nexport type Show = typeof show;\n`,
      );
      assertEquals(await circle(), {
        passes: false,
        problems: ["A circle: src/util/show.ts → src/util/quote.ts → src/util/show.ts"],
      });
    });

    await t.step("a file that is too long is reported", async () => {
      const long = change("src/util/fifo.ts", () => "export class Fifo {}\n" + "//\n".repeat(650));
      assertEquals(await long(), {
        passes: false,
        problems: ["src/util/fifo.ts has 651 lines: at most 650"],
      });
    });

    await t.step("an import of an entry point is reported", async () => {
      const entry = change("src/util/show.ts", (text) => `import "../../mod.ts";\n${text}`);
      const { passes, problems } = await entry();
      assertEquals(passes, false);
      assertEquals(problems[0], "src/util/show.ts imports mod.ts, which isn't below it");
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
