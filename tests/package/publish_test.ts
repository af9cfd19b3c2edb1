import { assert, assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";

const ROOT = new URL("../../", import.meta.url);
const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
const ENTRIES = Object.values<string>(exports).map((path) => path.replace("./", ""));

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await deno(args, { cwd: ROOT });
  assertEquals(code, 0, stdout + stderr);
  return stdout + stderr;
}

Deno.test("the package contains only files for users, and has no slow types", async () => {
  const said = await succeed("publish", "--dry-run", "--allow-dirty");
  const files = [...said.matchAll(/^\s*(file:\S+) \(/gm)].map(([, url]) =>
    url.slice(ROOT.href.length)
  );
  const unwanted = files.filter((name) =>
    !/^(src|cli)\/.*\.ts$|^docs\/.*\.md$/.test(name) &&
    ![...ENTRIES, "deno.json", "LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"].includes(name)
  );
  assertEquals(unwanted, []);
  for (const name of [...ENTRIES, "LICENSE", "README.md"]) {
    assert(files.includes(name), `${name} is missing`);
  }
});

Deno.test("every public symbol is documented, and the documentation can be generated", async () => {
  await succeed("doc", "--lint", ...ENTRIES);
  const dir = await Deno.makeTempDir();
  try {
    await succeed("doc", "--html", "--name=Sluice", `--output=${dir}`, "mod.ts");
    const page = await Deno.readTextFile(`${dir}/all_symbols.html`);
    assert(page.includes("Context") && page.includes("Connection"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("every entry point has a description with a program or a command", async () => {
  for (const entry of ENTRIES) {
    const source = await Deno.readTextFile(new URL(entry, ROOT));
    const [doc] = /^\/\*\*[^]*?\*\//.exec(source) ?? [""];
    assert(doc.includes("@module"), entry);
    // For an entry point with a special permission, the example is at its function.
    if (entry !== "system.ts") assert(/```ts|deno run/.test(doc), entry);
  }
  assert((await Deno.readTextFile(new URL("README.md", ROOT))).includes("```ts"));
});
