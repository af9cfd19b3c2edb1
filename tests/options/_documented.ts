import { assert } from "@std/assert";
import { deno } from "../support/child.ts";

/** The part of `deno doc --json` that the tests use. */
export interface Property {
  name: string;
  optional?: boolean;
  jsDoc?: { doc?: string; tags?: { kind: string; value?: string }[] };
  tsType?: Type;
}

export interface Type {
  kind: string;
  repr: string;
  value?: unknown;
}

interface Symbol {
  name: string;
  declarations: { kind: string; def?: { properties?: Property[] } }[];
}

/** The documented options of every entry point. */
export async function options(): Promise<[name: string, property: Property][]> {
  const entries = ["mod.ts", "otel.ts", "redis.ts"];
  const { stdout } = await deno(["doc", "--json", ...entries], {
    cwd: new URL("../../", import.meta.url),
  });
  const { nodes } = JSON.parse(stdout) as {
    nodes: Record<string, { symbols: Symbol[] }>;
  };
  const found = new Map<string, Property>();
  for (const { symbols } of Object.values(nodes)) {
    for (const { name, declarations } of symbols) {
      if (!/Options(Of)?$|^RsvBits$|^OutgoingFrame$/.test(name)) continue;
      for (const { kind, def } of declarations) {
        if (kind !== "interface") continue;
        for (const property of def?.properties ?? []) {
          found.set(`${name}.${property.name}`, property);
        }
      }
    }
  }
  assert(found.size > 80, `only ${found.size} options were found`);
  return [...found];
}
