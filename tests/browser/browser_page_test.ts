import { assertEquals } from "@std/assert";
import { exampleArgs } from "../support/example.ts";
import { skip } from "../support/needs.ts";
import { Browser, chromium } from "./_chromium.ts";

/** Starts the example's server. */
async function serve(port: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...exampleArgs("browser_page/main"), "--port", port],
    cwd: new URL("../../", import.meta.url),
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const url = /open (\S+)/.exec((await reader.read()).value!)![1];
  return {
    url,
    port: new URL(url).port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      await reader.cancel();
      await child.status;
    },
  };
}

const names =
  `[...document.querySelectorAll("#prices tr")].map((row) => row.cells[0].textContent).join()`;
const price = `document.querySelector("#prices td:last-child")?.textContent`;
const state = `document.getElementById("state").textContent`;

Deno.test({
  name: "the browser_page example subscribes, unsubscribes, and subscribes again after a reconnect",
  ignore: skip(chromium, "chromium"),
  async fn() {
    await using browser = await Browser.start();
    let port: string;
    let tab;
    {
      await using server = await serve("0");
      port = server.port;
      tab = await browser.open(server.url);
      await tab.until(`${names} === "apples" && /^\\d/.test(${price})`);
      await tab.evaluate(`document.querySelector("input[name=pears]").click()`);
      await tab.until(`${names} === "apples,pears"`);
      await tab.evaluate(`document.querySelector("input[name=apples]").click()`);
      await tab.until(`${names} === "pears"`);
      assertEquals(await tab.evaluate(state), "connected");
    }
    await tab.until(`${state}.startsWith("connection lost")`);
    const before = await tab.evaluate<string>(price);
    await using _server = await serve(port);
    await tab.until(`${state} === "connected" && ${price} !== ${JSON.stringify(before)}`);
    assertEquals(await tab.evaluate(names), "pears");
  },
});
