import { assert, assertEquals } from "@std/assert";
import { deno } from "../support/child.ts";
import { skip } from "../support/needs.ts";
import { Browser, chromium } from "./_chromium.ts";

const ROOT = new URL("../../", import.meta.url);

/** Starts the live demo on a free port. */
async function startDemo() {
  const task = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks["demo:live"];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...task.split(" ").slice(1), "--port", "0"],
    cwd: ROOT,
    stdout: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  let printed = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!/open (\S+)\n/.test(printed)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The demo has ended: ${printed}`);
    printed += value;
  }
  const rest = (async () => {
    for (let part; !(part = await reader.read()).done;) printed += part.value;
  })();
  return {
    url: /open (\S+)\n/.exec(printed)![1],
    printed: () => printed,
    /** Sends SIGINT; returns the exit code. */
    async interrupt(): Promise<number> {
      child.kill("SIGINT");
      const { code } = await child.status;
      await rest;
      return code;
    },
    async [Symbol.asyncDispose]() {
      try {
        child.kill();
      } catch {
        // The demo has ended already.
      }
      await child.status;
      await rest;
    },
  };
}

const text = (id: string) => `document.getElementById("${id}").textContent`;
const taken = `parseFloat(${text("taken")})`;

Deno.test({
  name: "the live page works in a browser",
  ignore: skip(chromium, "chromium"),
  async fn(t) {
    await using demo = await startDemo();
    await using browser = await Browser.start();
    const tab = await browser.open(demo.url);

    await t.step("the page connects and shows figures", async () => {
      await tab.until(`document.getElementById("state")?.dataset.state === "open"`);
      await tab.until(`${taken} > 0`);
      // Each chart has a line, drawn in the colour of its first series.
      await tab.until(`[...document.querySelectorAll(".chart")].map((chart) => {
        const canvas = chart.querySelector("canvas");
        const name = chart.querySelector("li").className;
        const color = getComputedStyle(document.documentElement).getPropertyValue("--" + name);
        const wanted = parseInt(color.slice(1), 16);
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        for (let at = 0; at < pixels.length; at += 4) {
          if ((pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]) === wanted) return name;
        }
        return "nothing";
      }).join() === "theirs,ours,faint,theirs,ours,ours"`);
    });

    await t.step("two tabs exchange chat messages", async () => {
      const other = await browser.open(demo.url);
      await other.until(`document.getElementById("state")?.dataset.state === "open"`);
      await other.evaluate(`document.getElementById("text").focus()`);
      await other.type("Grüße 👋 <b>");
      await other.press("Enter", "Enter", 13);
      // Headless browsers don't always submit a form after a synthetic Enter.
      await other.evaluate(
        `document.getElementById("text").value && document.getElementById("say").requestSubmit()`,
      );
      await tab.until(`${text("messages")}.includes("visitor 2 Grüße 👋 <b>")`);
      await tab.evaluate(
        `document.getElementById("text").value = "hello back";
         document.querySelector("#say button").click()`,
      );
      await other.until(`${text("messages")}.includes("visitor 1 hello back")`);
      await other.call("Page.close");
      await tab.until(`${text("messages")}.includes("visitor 2 has left")`);
    });

    await t.step("the slider changes the consumer's speed, also by keyboard", async () => {
      await tab.call("Page.bringToFront");
      await tab.evaluate(`(() => {
        const slider = document.getElementById("speed");
        slider.value = 1;
        slider.dispatchEvent(new Event("input"));
        slider.focus();
      })()`);
      await tab.until(`${text("speed-out")} === "2.0 MiB/s" && ${taken} < 3`);
      await tab.press("ArrowRight", "ArrowRight", 39);
      await tab.until(`${text("speed-out")} === "2.1 MiB/s"`);
      await tab.evaluate(`(() => {
        const slider = document.getElementById("speed");
        slider.value = 4;
        slider.dispatchEvent(new Event("input"));
        slider.blur();
      })()`);
      await tab.until(`${text("speed-out")} === "16 MiB/s" && ${taken} > 10`);
    });

    await t.step("the queue is bounded and drains; a pause stops both sides", async () => {
      await tab.until(`Number(${text("drains")}) > 0`);
      await tab.evaluate(`document.body.focus()`);
      await tab.press("p", "KeyP", 80);
      await tab.until(`document.getElementById("pause").getAttribute("aria-pressed") === "true"`);
      await tab.until(`${taken} === 0 && parseFloat(${text("made")}) === 0`);
      const queue = await tab.evaluate<string>(text("queue"));
      assert(parseInt(queue) <= 80, queue);
      await tab.evaluate(`document.getElementById("pause").click()`);
      await tab.until(`${taken} > 5 && Number(${text("drains")}) > 0`);
      const ours = await tab.evaluate<number>(`parseFloat(${text("rss-ours")})`);
      const theirs = await tab.evaluate<number>(`parseFloat(${text("rss-theirs")})`);
      assert(ours < 128 && theirs > ours, `${ours} MiB, ${theirs} MiB`);
    });

    await t.step("a restart begins with empty queues, at the chosen speed", async () => {
      const theirs = `parseFloat(${text("rss-theirs")})`;
      const before = await tab.evaluate<number>(theirs);
      await tab.evaluate(`document.getElementById("restart").click()`);
      await tab.until(`!document.getElementById("restart").disabled`);
      await tab.until(`${theirs} < ${before} && ${taken} > 5`);
      assertEquals(await tab.evaluate(text("speed-out")), "16 MiB/s");
    });

    await t.step(
      "the browser's WebSocket exchanges text, binary, a subprotocol, compression and close codes",
      async () => {
        const result = await tab.evaluate<Record<string, unknown>>(`new Promise((done, failed) => {
        const url = location.href.replace(/^http/, "ws") + "echo";
        const socket = new WebSocket(url, ["other", "sluice-echo"]);
        socket.binaryType = "arraybuffer";
        const seen = { messages: [] };
        const large = "compressible ".repeat(10000);
        socket.onopen = () => {
          Object.assign(seen, { protocol: socket.protocol, extensions: socket.extensions });
          socket.send("Grüße 👋");
          socket.send(new Uint8Array([0, 1, 254, 255]));
          socket.send(large);
          socket.send("close 4007");
        };
        socket.onmessage = ({ data }) => {
          if (data === large) seen.large = true;
          else seen.messages.push(typeof data === "string" ? data : [...new Uint8Array(data)]);
        };
        socket.onclose = ({ code, reason, wasClean }) => done({ ...seen, code, reason, wasClean });
        socket.onerror = failed;
      })`);
        assertEquals(result.messages, ["Grüße 👋", [0, 1, 254, 255]]);
        assertEquals(result.large, true);
        assertEquals(result.protocol, "sluice-echo");
        assert(String(result.extensions).startsWith("permessage-deflate"));
        assertEquals([result.code, result.reason, result.wasClean], [4007, "as asked", true]);
      },
    );

    await t.step(
      "the page fits into 1280 and 390 pixels, in light and dark",
      async () => {
        const dir = Deno.env.get("SLUICE_SCREENSHOTS");
        for (
          const [name, width, options] of [
            ["1280", 1280, {}],
            ["390", 390, { mobile: true }],
            ["1280_dark", 1280, { dark: true }],
            ["390_dark", 390, { dark: true, mobile: true }],
          ] as const
        ) {
          const png = await tab.screenshot(width, options);
          assert(png.length > 10_000);
          const overflow = await tab.evaluate<number>(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth",
          );
          assertEquals(overflow, 0, `the page scrolls sideways at ${width} pixels`);
          const end = await tab.evaluate<number>(
            `document.querySelector(".first").getBoundingClientRect().bottom`,
          );
          assert(end < 800, `the charts of the memory end at ${end} with a width of ${width}`);
          if (dir) await Deno.writeFile(`${dir}/live_${name}.png`, png);
        }
      },
    );

    await t.step("the page has no errors, and the terminal gets a line per second", () => {
      assertEquals(browser.errors, []);
      assert(/^ *\d+ s {2}made .* native: .*$/m.test(demo.printed()), demo.printed());
    });

    await t.step("Ctrl-C ends the demo in order", async () => {
      assertEquals(await demo.interrupt(), 0);
    });
  },
});

Deno.test("demo:live --headless: the figures are printed, and every bound holds", async () => {
  const args = ["task", "demo:live", "--headless", "--seconds", "3"];
  const { code, stdout } = await deno(args, { cwd: ROOT });
  assertEquals(code, 0, stdout);
  assert(/most bytes queued: \d+ \(limit 81920\)/.test(stdout), stdout);
  assert(!stdout.includes("FAILED"), stdout);
});
