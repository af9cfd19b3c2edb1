import { assertEquals } from "@std/assert";
import puppeteer, { type Browser, type ConnectionTransport } from "puppeteer-core";
import { WebSocket as Standard } from "../../websocket.ts";
import { findProgram, skip } from "../support/needs.ts";
import { assertOurs, called } from "./_ours.ts";
import { mayFail } from "../support/failure.ts";

const chromium = findProgram("chromium", "chromium-browser", "google-chrome");

/** A transport for puppeteer on the WHATWG class. */
async function transport(url: string): Promise<ConnectionTransport> {
  const socket = new Standard(url);
  await called((done) => socket.onopen = done);
  const transport: ConnectionTransport = {
    send: (message) => socket.send(message),
    close: () => socket.close(),
  };
  socket.onmessage = ({ data }) => transport.onmessage?.(data);
  socket.onclose = () => transport.onclose?.();
  return transport;
}

async function useIt(browser: Browser): Promise<void> {
  const page = await browser.newPage();
  await page.setContent("<title>hello</title><p>" + "x".repeat(100_000) + "</p>");
  assertEquals(await page.title(), "hello");
  assertEquals(
    await page.evaluate(() => (globalThis as any).document.body.innerText.length),
    100_000,
  );
  const picture = await page.screenshot();
  assertEquals([...picture.subarray(1, 4)], [0x50, 0x4e, 0x47]);
  await page.close();
}

Deno.test({
  name: "puppeteer-core drives Chromium on ws, and on the WHATWG class through a transport",
  ignore: skip(chromium, "chromium"),
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assertOurs("puppeteer-core");
    const dir = await Deno.makeTempDir();
    const child = new Deno.Command(chromium!, {
      args: [
        "--no-sandbox",
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--remote-debugging-port=0",
        `--user-data-dir=${dir}`,
      ],
      stdout: "null",
      stderr: "piped",
    }).spawn();
    try {
      let said = "", url: string | undefined;
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        said += text;
        url = /DevTools listening on (ws:\S+)\s/.exec(said)?.[1];
        if (url !== undefined) break;
      }
      const one = await puppeteer.connect({ browserWSEndpoint: url!, defaultViewport: null });
      await useIt(one);
      await one.disconnect();
      const two = await puppeteer.connect({ transport: await transport(url!) });
      await useIt(two);
      await two.close();
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await mayFail(Deno.remove(dir, { recursive: true }), "its children may still write");
    }
  },
});
