// Checks that every public declaration is shown at work: by a program (`@example`) of its own, or by a link to a
// declaration that has one. What only names or extends another declaration is shown by that one; a method or property
// of a class also by any program of the documentation that uses it.
//
//   deno run --allow-read --allow-run tools/examples.ts

import { denoJson } from "./deno_json.ts";

interface JsDoc {
  doc?: string;
  tags?: { kind: string; doc?: string }[];
}

interface TypeRef {
  kind?: string;
  repr?: string;
  value?: { typeName?: string };
}

interface Member {
  name: string;
  jsDoc?: JsDoc;
}

interface Declaration {
  kind: string;
  jsDoc?: JsDoc;
  def?: {
    extends?: TypeRef[] | string;
    tsType?: TypeRef;
    methods?: Member[];
    properties?: Member[];
  };
}

interface Documentation {
  nodes: Record<string, { symbols: { name: string; declarations: Declaration[] }[] }>;
}

const root = new URL("../", import.meta.url);
const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));

/** The faces of classes that others document member by member: the WHATWG, and the npm package. */
const DOCUMENTED_ELSEWHERE = ["./websocket", "./ws"];

/** The TypeScript blocks of the pages and of the JSDoc, as one text. */
async function programs(): Promise<string> {
  const files = Object.values<string>(exports).map((path) => new URL(path, root));
  const walk = async (dir: URL, ending: string) => {
    for await (const { name, isDirectory } of Deno.readDir(dir)) {
      if (isDirectory) await walk(new URL(`${name}/`, dir), ending);
      else if (name.endsWith(ending)) files.push(new URL(name, dir));
    }
  };
  await walk(new URL("docs/", root), ".md");
  await walk(new URL("src/", root), ".ts");
  files.push(new URL("README.md", root));
  const blocks: string[] = [];
  for (const file of files) {
    const text = (await Deno.readTextFile(file)).replaceAll(/^ *\* ?/gm, "");
    blocks.push(...[...text.matchAll(/^ *```ts.*\n([^]*?)^ *```$/gm)].map(([, code]) => code));
  }
  return blocks.join("\n");
}

function documentation(entry: string): Promise<Documentation> {
  return denoJson("doc", "--json", new URL(entry, root).pathname);
}

const hasExample = ({ tags = [] }: JsDoc = {}) => tags.some(({ kind }) => kind === "example");

/** The names of the declarations that a text of a symbol links to. */
function links({ doc = "", tags = [] }: JsDoc = {}): string[] {
  const text = [doc, ...tags.map((tag) => tag.doc ?? "")].join("\n");
  return [...text.matchAll(/\{@link(?:code)? ([\w.]+)/g)].map(([, name]) => name);
}

/** The names of the declarations that one is made of: those that it extends, or whose other name it is. */
function origins({ def = {} }: Declaration): string[] {
  const parents = Array.isArray(def.extends) ? def.extends : [];
  return [...parents, def.tsType ?? {}].flatMap(({ repr }) => repr ? [repr] : []);
}

const all = await programs();
const problems: string[] = [];
const symbols = new Map<string, Declaration[]>();
const entries: [entry: string, names: string[]][] = [];
for (const [entry, file] of Object.entries<string>(exports)) {
  const names: string[] = [];
  for (const node of Object.values((await documentation(file)).nodes)) {
    for (const { name, declarations } of node.symbols) {
      // The other names of an export, such as `default`.
      if (declarations[0].kind === "reference") continue;
      names.push(name);
      symbols.set(name, [...symbols.get(name) ?? [], ...declarations]);
    }
  }
  entries.push([entry, names]);
}

const isUsed = (name: string) => new RegExp(`\\b${name}\\b`).test(all);

/** Whether a declaration is shown; `Context.prototype.listen` names a member. */
function isShown(path: string, from: readonly string[] = []): boolean {
  const [name, ...member] = path.split(".");
  const declarations = symbols.get(name);
  if (declarations === undefined || from.includes(path)) return false;
  if (member.length > 0) {
    const members = declarations.flatMap((one) => membersOf(one));
    return members.some((one) => one.name === member.at(-1)) && isUsed(member.at(-1)!);
  }
  return declarations.some((one) =>
    hasExample(one.jsDoc) ||
    // A function or a class needs a program of its own.
    (one.kind === "interface" || one.kind === "typeAlias" || name.endsWith("Error")) &&
      [...links(one.jsDoc), ...origins(one)].some((other) => isShown(other, [...from, path]))
  );
}

const membersOf = ({ def = {} }: Declaration) => [
  ...def.methods ?? [],
  ...def.properties ?? [],
];

let count = 0;
for (const [entry, names] of entries) {
  for (const name of names) {
    count++;
    if (!isShown(name)) problems.push(`${name} of ${entry} has no @example, and links to none`);
    if (DOCUMENTED_ELSEWHERE.includes(entry)) continue;
    for (const declaration of symbols.get(name)!) {
      if (declaration.kind !== "class") continue;
      for (const member of membersOf(declaration)) {
        // Symbols are used by `for await` and `using`.
        if (member.name.startsWith("[") || hasExample(member.jsDoc) || isUsed(member.name)) {
          continue;
        }
        problems.push(`${name}.${member.name} of ${entry} is in no program of the documentation`);
      }
    }
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);
console.log(`${count} declarations, each with a program that shows it`);
