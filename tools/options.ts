import { parseArgs, type ParseArgsConfig } from "node:util";

type Known = NonNullable<ParseArgsConfig["options"]>;
type Parsed<Options extends Known> = ReturnType<
  typeof parseArgs<{ options: Options; allowPositionals: true }>
>;

const ROOT = new URL("../", import.meta.url).pathname;

/** What the command line of this process may have; set by `readOptions`. */
let usage = "";

/**
 * Reads the command line of a script. `--help` prints the usage, and a mistake prints what is wrong as well; both end the
 * process.
 *
 * @param known The options, as `parseArgs` of `node:util` takes them.
 * @param names The names of the arguments that aren't options; all of them must be given.
 * @returns The values of the options, and the other arguments.
 */
export function readOptions<const Options extends Known>(
  known: Options,
  names: string[] = [],
): Parsed<Options> {
  usage = `Usage: deno run -A ${new URL(Deno.mainModule).pathname.slice(ROOT.length)}` +
    [...Object.entries(known).map(describe), ...names].map((text) => ` ${text}`).join("");
  if (Deno.args.includes("--help")) {
    console.log(usage);
    Deno.exit();
  }
  let parsed: Parsed<Options>;
  try {
    parsed = parseArgs({ args: Deno.args, options: known, allowPositionals: true });
  } catch (error) {
    // The first sentence; the others explain how to write an argument that begins with a dash.
    refuse((error as Error).message.split(". ", 1)[0]);
  }
  const { length } = parsed.positionals;
  if (length < names.length) refuse(`Missing argument ${names[length]}`);
  if (length > names.length) refuse(`Unexpected argument ${parsed.positionals[names.length]}`);
  return parsed;
}

/** Says what is wrong with the command line, and ends the process. */
export function refuse(mistake: string): never {
  console.error(`${mistake}\n${usage}`);
  Deno.exit(2);
}

function describe([name, { type, multiple, default: usual }]: [string, Known[string]]): string {
  const value = type === "boolean" ? "" : ` ${usual === undefined || usual === "" ? "…" : usual}`;
  return `[--${name}${value}]${multiple ? "…" : ""}`;
}
