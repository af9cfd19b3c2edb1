/**
 * Every TypeScript block of the README, of docs/ and of the JSDoc is a complete program. All blocks are type-checked together,
 * and run in the order of their page; those that contain tests are run by `deno test`. A program that prints `listening on …`
 * stays up for the later ones. A block marked `ts no-eval` needs something that isn't available, and is only type-checked.
 * The programs of docs/integration.md, which need certificates and proxies, are run by tests/ways/docs_test.ts.
 */
import { assert, assertEquals } from "@std/assert";
import { deno } from "./support/child.ts";
import { mayFail } from "./support/failure.ts";
import { freePort } from "./support/raw_peer.ts";

const ROOT = new URL("../", import.meta.url);
const ELSEWHERE = ["docs/integration.md"];

interface Block {
  readonly page: string;
  readonly line: number;
  readonly code: string;
  readonly runs: boolean;
  file: string;
}

/** The code blocks of a Markdown page. */
function blocksOf(page: string, text: string): Block[] {
  const blocks: Block[] = [];
  const fences = /^( *)```ts( no-eval)?\n([^]*?)^ *```$/gm;
  for (let match; (match = fences.exec(text)) !== null;) {
    const [, indent, noEval, code] = match;
    blocks.push({
      page,
      line: text.slice(0, match.index).split("\n").length + 1,
      code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      runs: noEval === undefined,
      file: "",
    });
  }
  return blocks;
}

/** The JSDoc of a source file, line for line. */
function docOf(source: string): string {
  let inside = false;
  return source.split("\n").map((line) => {
    if (/^\s*\/\*\*/.test(line)) inside = true;
    const text = inside ? line.replace(/^\s*\* ?/, "") : "";
    if (line.includes("*/")) inside = false;
    return text;
  }).join("\n");
}

async function* sources(dir: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, dir));
    else if (name.endsWith(".ts")) yield new URL(name, dir).href.slice(ROOT.href.length);
  }
}

/** The code blocks of each page, except some pages. */
async function collect(without: string[]): Promise<Map<string, Block[]>> {
  const pages = ["README.md", "CONTRIBUTING.md"];
  for await (const { name } of Deno.readDir(new URL("docs/", ROOT))) {
    if (name.endsWith(".md")) pages.push(`docs/${name}`);
  }
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  pages.push(...Object.values<string>(exports).map((path) => path.replace("./", "")));
  for await (const name of sources(new URL("src/", ROOT))) pages.push(name);
  const found = new Map<string, Block[]>();
  for (const page of pages.sort()) {
    if (without.includes(page)) continue;
    const text = await Deno.readTextFile(new URL(page, ROOT));
    const blocks = blocksOf(page, page.endsWith(".ts") ? docOf(text) : text);
    if (blocks.length > 0) found.set(page, blocks);
  }
  return found;
}

/** Writes a configuration with which a user's program finds the package. */
async function writeConfig(dir: string): Promise<void> {
  const { exports, compilerOptions, name } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("import_map.json", ROOT)));
  for (const [path, file] of Object.entries(exports)) {
    imports[name + path.slice(1)] = new URL(file as string, ROOT).href;
  }
  delete compilerOptions.noUnusedLocals;
  delete compilerOptions.noUnusedParameters;
  await Deno.writeTextFile(`${dir}/deno.json`, JSON.stringify({ imports, compilerOptions }));
}

/** Runs a program until it ends or says that it listens; a program with tests is run by `deno test`. */
async function start(
  dir: string,
  { file, page, line, code }: Block,
): Promise<Deno.ChildProcess | null> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [code.includes("Deno.test(") ? "test" : "run", "-A", "--no-check", "--no-lock", file],
    cwd: dir,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  let stdout = "", stderr = "";
  const listening = Promise.withResolvers<"listening">();
  const reading = Promise.all([
    (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        stdout += text;
        if (/^listening on /m.test(stdout)) listening.resolve("listening");
      }
    })(),
    (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) stderr += text;
    })(),
  ]);
  const patience = setTimeout(() => {
    stderr += "The program neither ends nor says that it listens.";
    child.kill();
  }, 30_000);
  const outcome = await Promise.race([listening.promise, child.status]);
  clearTimeout(patience);
  if (outcome === "listening") return child;
  await reading;
  assertEquals(outcome.code, 0, `${page}:${line} failed:\n${stdout}${stderr}`);
  return null;
}

Deno.test("the code blocks of the README, the docs and the JSDoc are complete programs that type-check and run", async (t) => {
  const dir = await Deno.makeTempDir();
  try {
    const pages = await collect(ELSEWHERE);
    assert(pages.has("README.md") && pages.has("docs/flow_control.md") && pages.has("mod.ts"));
    await writeConfig(dir);
    const files: string[] = [];
    for (const [page, blocks] of pages) {
      const port = String(freePort());
      for (const block of blocks) {
        block.file = `${page.replaceAll(/[/.]/g, "_")}_${block.line}.ts`;
        files.push(block.file);
        // An empty export makes the block a module, like a user's file with imports.
        const code = block.code.replaceAll("8080", port) + "\nexport {};\n";
        await Deno.writeTextFile(`${dir}/${block.file}`, code);
      }
    }
    await t.step(`types of ${files.length} programs`, async () => {
      const { code, stderr } = await deno(["check", "--no-lock", ...files], { cwd: dir });
      assertEquals(code, 0, stderr);
    });
    for (const [page, blocks] of pages) {
      await t.step(page, async () => {
        const up: Deno.ChildProcess[] = [];
        try {
          for (const block of blocks) {
            const child = block.runs ? await start(dir, block) : null;
            if (child !== null) up.push(child);
          }
        } finally {
          for (const child of up) {
            child.kill();
            await child.status;
          }
        }
      });
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

/** The arguments of each call that listens on an address. */
function* listenCalls(code: string): Generator<string> {
  for (const { index } of code.matchAll(/(\.listen|Deno\.serve|new WebSocketServer)(?=\()/g)) {
    const start = code.indexOf("(", index);
    let depth = 0, end = start;
    do {
      if (code[end] === "(") depth++;
      else if (code[end] === ")") depth--;
    } while (depth > 0 && ++end < code.length);
    yield code.slice(start, end);
  }
}

Deno.test("every program that listens names an address", async () => {
  const found = new Map<string, string[]>();
  for (const [page, blocks] of await collect([])) found.set(page, blocks.map(({ code }) => code));
  for await (const page of sources(new URL("examples/", ROOT))) {
    found.set(page, [await Deno.readTextFile(new URL(page, ROOT))]);
  }
  let calls = 0;
  for (const [page, programs] of found) {
    for (const call of programs.flatMap((code) => [...listenCalls(code)])) {
      calls++;
      // An address, or an object that has one.
      const hasAddress = /\b(host|hostname|unix|listener|server|noServer|fd)\b|127\.0\.0\.1/.test(
        call,
      );
      assert(hasAddress, `${page} listens on every address: ${call}`);
    }
  }
  assert(calls > 100);
});

Deno.test("every link between pages leads to an existing page and heading", async () => {
  const pages = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "RELEASING.md",
    "bench/log.md",
    "examples/README.md",
  ];
  for await (const { name } of Deno.readDir(new URL("docs/", ROOT))) pages.push(`docs/${name}`);
  for (const page of pages.filter((name) => name.endsWith(".md"))) {
    const text = await Deno.readTextFile(new URL(page, ROOT));
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path, anchor] = link.split("#");
      // Written when a release is made.
      if (path.startsWith("bench/results/")) continue;
      const target = path === "" ? new URL(page, ROOT) : new URL(path, new URL(page, ROOT));
      // Pages of the repository's website: issues, runs.
      if (!target.href.startsWith(ROOT.href)) continue;
      const found = await mayFail(Deno.readTextFile(target), "reported below") ?? null;
      if (found === null) throw new Error(`${page} links to ${link}, which doesn't exist`);
      if (anchor === undefined) continue;
      const anchors = [...found.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
        title.toLowerCase().replaceAll(/[^\w\s-]/g, "").replaceAll(" ", "-")
      );
      assert(anchors.includes(anchor), `${page} links to ${link}, and ${anchor} doesn't exist`);
    }
  }
});

Deno.test("the index of docs/ has a link to every page", async () => {
  const index = await Deno.readTextFile(new URL("docs/README.md", ROOT));
  for await (const { name } of Deno.readDir(new URL("docs/", ROOT))) {
    if (!name.endsWith(".md") || name === "README.md") continue;
    assert(index.includes(`](${name})`), `docs/README.md has no link to ${name}`);
  }
});
