import { assertEquals } from "@std/assert";
import { options, type Type } from "./_documented.ts";

/** Whether all values of a type can be written as literals, so that the default can be. */
function isPlain({ kind, value }: Type): boolean {
  if (kind === "keyword") return value === "number" || value === "boolean";
  if (kind === "union") return (value as Type[]).every((type) => isPlain(type));
  return kind === "literal";
}

Deno.test("deno doc shows the default of every option", async () => {
  const wrong: string[] = [];
  for (const [name, { optional, jsDoc, tsType }] of await options()) {
    const { doc = "", tags = [] } = jsDoc ?? {};
    if (doc === "") wrong.push(`${name} has no documentation`);
    // A tag is recognised only at the beginning of a line, with its value in braces.
    if (doc.includes("@default") || tags.some(({ kind }) => kind === "unsupported")) {
      wrong.push(`${name} has a tag that isn't recognised`);
    }
    if (!optional || tsType === undefined || !isPlain(tsType)) continue;
    const tag = tags.find(({ kind }) => kind === "default");
    if (tag === undefined && !/Default: /.test(doc)) wrong.push(`${name} has no default`);
  }
  assertEquals(wrong, []);
});

Deno.test("the documentation of every time names the unit ms, and that of every size names bytes", async () => {
  const wrong: string[] = [];
  for (const [name, { jsDoc, tsType }] of await options()) {
    if (tsType?.kind !== "keyword" || tsType.value !== "number") continue;
    const { doc = "" } = jsDoc ?? {};
    if (/timeout|interval|lifetime|initial|Backoff\w*\.max$/i.test(name)) {
      if (!/\bms\b/.test(doc)) wrong.push(`${name}: ${doc}`);
    } else if (/bytes|mark|readAhead|threshold|size/i.test(name) && !/\bbytes\b/i.test(doc)) {
      wrong.push(`${name}: ${doc}`);
    }
  }
  assertEquals(wrong, []);
});
