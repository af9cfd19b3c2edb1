// Prints the test files for which the kind of sockets makes a difference: those that reach the module that makes the
// tests' contexts, by imports or by the programs of the tests that they start.
//
//   deno run --allow-run --allow-read --allow-write tools/socket_tests.ts

import { denoJson } from "./deno_json.ts";

/** The module that reads SLUICE_TEST_SOCKETS, and replaces mod.ts in the tests. */
const MAKES_CONTEXTS = "tests/support/sluice.ts";

interface ModuleGraph {
  modules: { specifier: string; dependencies?: { code?: { specifier: string } }[] }[];
}

const root = new URL("../", import.meta.url);

/** All modules of the tests, but those that are run by themselves, as programs. */
function modules(folder: URL): URL[] {
  const found: URL[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const url = new URL(isDirectory ? `${name}/` : name, folder);
    if (isDirectory && url.href !== new URL("tests/programs/", root).href) {
      found.push(...modules(url));
    } else if (name.endsWith(".ts")) found.push(url);
  }
  return found;
}

/** The graph of the modules, with what each imports. */
async function graphOf(entries: URL[]): Promise<ModuleGraph> {
  const all = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(all, entries.map(({ href }) => `import "${href}";\n`).join(""));
    const config = new URL("deno.json", root).pathname;
    return await denoJson("info", "--json", "--no-lock", "--config", config, all);
  } finally {
    await Deno.remove(all);
  }
}

/** The modules that a module starts as programs: `new URL("name.ts", import.meta.url)`. */
function programsOf(module: URL): string[] {
  const names = Deno.readTextFileSync(module).matchAll(
    /new URL\(\s*"([^"]+\.ts)",\s*import\.meta\.url/g,
  );
  return [...names].map(([, name]) => new URL(name, module).href);
}

const entries = modules(new URL("tests/", root));
const users = new Map<string, string[]>();
const use = (used: string, user: string) =>
  void (users.get(used)?.push(user) ?? users.set(used, [user]));
for (const { specifier, dependencies = [] } of (await graphOf(entries)).modules) {
  for (const { code } of dependencies) if (code !== undefined) use(code.specifier, specifier);
}
for (const entry of entries) for (const program of programsOf(entry)) use(program, entry.href);

const reached = new Set([new URL(MAKES_CONTEXTS, root).href]);
// A set is walked in the order of insertion, what is added on the way included.
for (const module of reached) for (const user of users.get(module) ?? []) reached.add(user);

const tests = [...reached].filter((module) => module.endsWith("_test.ts"));
for (const test of tests.sort()) console.log(test.slice(root.href.length));
