// Runs the tests with the kernel's own sockets in every context that a test makes: an import map puts a module in place
// of mod.ts that differs in that alone. Arguments are passed on to `deno test`.
//
//   deno task test:system [tests/flow/]

const root = new URL("../", import.meta.url);
const substitute = new URL("tests/support/system/", root).href;
const original = new URL("mod.ts", root).href;
const { imports } = JSON.parse(await Deno.readTextFile(new URL("import_map.json", root)));
const absolute = Object.entries<string>(imports).map(([name, target]) =>
  target.startsWith(".") ? [name, new URL(target, root).href] : [name, target]
);
const map = {
  imports: { ...Object.fromEntries(absolute), [original]: `${substitute}mod.ts` },
  // The substitute itself has the library.
  scopes: { [substitute]: { [original]: original } },
};
const file = await Deno.makeTempFile({ suffix: ".json" });
try {
  await Deno.writeTextFile(file, JSON.stringify(map));
  const paths = Deno.args.some((arg) => !arg.startsWith("-")) ? [] : ["tests/"];
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "-A",
      "--no-check",
      "--parallel",
      "--lock=deno.lock",
      "--import-map",
      file,
      ...Deno.args,
      ...paths,
    ],
    cwd: root,
  }).spawn().status;
  Deno.exitCode = code;
} finally {
  await Deno.remove(file);
}
