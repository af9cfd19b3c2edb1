import { assert, assertEquals } from "@std/assert";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { stillServes } from "./_support.ts";

const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: h\r\n\r\n");

for (const mode of ["", "http"]) {
  Deno.test(`${mode && "fault 20: "}no descriptors left${mode && ", with a handler"}: accepting pauses, logs it once, and resumes when some are closed`, () =>
    starved(mode));
}

async function starved(mode: string): Promise<void> {
  const script = new URL("./programs/few_descriptors.ts", import.meta.url).pathname;
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `ulimit -n 64; exec "$0" run -A --no-check "$1" $2`,
      Deno.execPath(),
      script,
      mode,
    ],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const out = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  const stderr = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) said += text;
  })();
  const times = () => said.match(/Accepting WebSocket connections has failed/g)?.length ?? 0;
  try {
    const port = Number((await out.read()).value);
    const peers: Deno.Conn[] = [];
    // The kernel completes connections that aren't accepted, so the flood itself doesn't notice.
    for (let round = 1; round <= 2; round++) {
      for (let i = 0; i < 80; i++) {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port });
        peers.push(conn);
        if (mode === "http") await conn.write(REQUEST);
      }
      await until(() => times() >= 1);
      // A later connection is served as soon as the others are closed.
      const served = stillServes({ port });
      for (const conn of peers.splice(0)) conn.close();
      await served;
      if (mode !== "http") continue;
      assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "page");
    }
    assertEquals(times(), 1, said);
    assert(!/uncaught|panicked/i.test(said), said);
    const peer = await RawPeer.connect(port);
    peer.close();
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await stderr;
    await out.cancel();
  }
}
