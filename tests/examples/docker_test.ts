/** The container's program, run with the command of its Dockerfile. Docker itself needs a registry, so it isn't tested. */
import { assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { deno } from "../support/child.ts";

const FOLDER = new URL("../../examples/docker/", import.meta.url);

Deno.test("docker: the program has enough permissions, reports that it is healthy, and ends in order on SIGTERM", async () => {
  const dockerfile = await Deno.readTextFile(new URL("Dockerfile", FOLDER));
  const args: string[] = JSON.parse(/^CMD (\[.*\])$/m.exec(dockerfile)![1]);
  const [, check, script]: string[] = JSON.parse(/^ +CMD (\[.*\])$/m.exec(dockerfile)![1]);
  args.splice(1, 0, "--no-check", "--no-prompt");
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: FOLDER,
    env: { HOST: "127.0.0.1", PORT: "0", NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const url = /ws:\S+/.exec((await reader.read()).value!)![0];
    const { port } = new URL(url);
    const health = await deno([check, "--no-lock", script.replace("8080", port)], { cwd: FOLDER });
    assertEquals(health.code, 0);
    await using ctx = new Context();
    const conn = ctx.connect(url);
    await conn.opened;
    conn.send("hello");
    assertEquals(await conn.receive(), "hello");
    child.kill("SIGTERM");
    assertEquals((await conn.closed).received?.code, 1001);
    assertEquals((await reader.read()).value, "closed 1 cleanly, 0 by force\n");
    assertEquals((await child.status).code, 0);
  } finally {
    await reader.cancel();
    try {
      child.kill("SIGKILL");
    } catch {
      // The program has ended already.
    }
    await child.status;
  }
});
