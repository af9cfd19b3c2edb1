import { assertEquals, assertMatch } from "@std/assert";
import { run } from "../support/child.ts";

const program = new URL("programs/process.ts", import.meta.url);

for (
  const name of [
    "failed connect, only onError",
    "failed connect, nothing given",
    "every promise rejected, none awaited",
    "callbacks that reject",
  ]
) {
  Deno.test(`${name}: the process continues`, async () => {
    const { code, stdout, stderr } = await run(program, name);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /still running\n$/);
  });
}

for (
  const name of [
    "a context alone",
    "a listener that was unref'ed",
    "a connection that was unref'ed",
    "a connection that was unref'ed before it was open",
    "timers of every kind, unref'ed",
  ]
) {
  Deno.test(`${name} lets the process end by itself`, async () => {
    const { code, stdout, stderr } = await run(program, name);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^reached the end\n$/);
  });
}

for (
  const name of [
    "a listener",
    "a listener, ref'ed again",
    "an open connection",
    "an open connection, ref'ed again",
  ]
) {
  Deno.test(`${name} keeps the process alive`, async () => {
    const { code, stdout, stderr } = await run(program, name);
    // A timer that doesn't keep the process alive fires, and the program then exits with 7.
    assertEquals(code, 7, stderr);
    assertMatch(stdout, /^reached the end\n$/);
  });
}
