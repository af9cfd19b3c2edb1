// Checks the structure of src/: a file imports from its own folder and from lower layers only, no files import each
// other in a circle (types included), and none is longer than it may be.
//
//   deno run --allow-run --allow-read tools/layers.ts

import { denoJson } from "./deno_json.ts";

/** The layers, lowest first. A name that ends in `.ts` is a file; layers of one line don't import each other. */
const LAYERS = [
  ["util"],
  ["protocol"],
  ["memory", "errors.ts"],
  ["transport"],
  ["flow"],
  ["handshake"],
  ["deflate"],
  ["engine"],
  ["pubsub"],
  ["connection.ts"],
  ["connection_options.ts"],
  ["context"],
  ["client", "server"],
  ["adopt"],
  ["listener.ts"],
  ["context.ts"],
  ["websocket"],
  ["ws"],
];
const MOST_LINES = 650;
const MOST_FILES_AT_ROOT = 6;

interface ModuleGraph {
  modules: {
    specifier: string;
    dependencies?: { code?: { specifier: string }; type?: { specifier: string } }[];
  }[];
}

const root = new URL("../", import.meta.url);
const source = new URL("src/", root).href;
const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));

/** What each file of src/ imports of this repository, by paths. */
async function imports(): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const entry of Object.values<string>(exports)) {
    const path = new URL(entry, root).pathname;
    const graph = await denoJson<ModuleGraph>("info", "--json", "--no-lock", path);
    for (const { specifier, dependencies = [] } of graph.modules) {
      if (!specifier.startsWith(source)) continue;
      const targets = new Set<string>();
      for (const { code, type } of dependencies) {
        const target = code?.specifier ?? type?.specifier ?? "";
        if (target.startsWith(root.href)) targets.add(target.slice(root.href.length));
      }
      found.set(specifier.slice(root.href.length), targets);
    }
  }
  return found;
}

/** The part of src/ that holds a file, or is the file itself; `undefined` outside of src/. */
function partOf(file: string): string | undefined {
  const [top, part] = file.split("/", 2);
  return top === "src" ? part : undefined;
}

/** The number of a file's layer; `Infinity` outside of src/, where files may use all layers. */
function layerOf(file: string): number {
  const part = partOf(file);
  return part === undefined ? Infinity : LAYERS.findIndex((layer) => layer.includes(part));
}

/** Circles of files, each as the path that closes it. */
function circles(graph: Map<string, Set<string>>): string[][] {
  const found: string[][] = [], done = new Set<string>(), path: string[] = [];
  const visit = (file: string) => {
    const at = path.indexOf(file);
    if (at >= 0) found.push([...path.slice(at), file]);
    if (at >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

const graph = await imports();
const problems: string[] = [];
for (const [file, targets] of graph) {
  const layer = layerOf(file);
  if (layer < 0) problems.push(`${file} is in no layer of tools/layers.ts`);
  for (const target of targets) {
    if (partOf(file) !== partOf(target) && layerOf(target) >= layer) {
      problems.push(`${file} imports ${target}, which isn't below it`);
    }
  }
  const lines = (await Deno.readTextFile(new URL(file, root))).split("\n").length - 1;
  if (lines > MOST_LINES) problems.push(`${file} has ${lines} lines: at most ${MOST_LINES}`);
}
for (const circle of circles(graph)) problems.push(`A circle: ${circle.join(" → ")}`);
const atRoot = [...graph.keys()].filter((file) => file.split("/").length === 2);
if (atRoot.length > MOST_FILES_AT_ROOT) {
  problems.push(`${atRoot.length} files at the root of src/: at most ${MOST_FILES_AT_ROOT}`);
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);
console.log(`${graph.size} files in ${LAYERS.length} layers: no import points upwards`);
