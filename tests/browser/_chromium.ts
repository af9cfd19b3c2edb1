import { type Connection, Context } from "../../mod.ts";
import { mayFail } from "../support/failure.ts";
import { findProgram } from "../support/needs.ts";

/** The path of the browser, if it is installed. */
export const chromium: string | null = findProgram(
  "chromium",
  "chromium-browser",
  "google-chrome",
);

const FLAGS = [
  "--no-sandbox",
  "--headless",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

type Fields = Record<string, unknown>;
interface Waiting {
  resolve(result: Fields): void;
  reject(error: Error): void;
}

/** A browser that is controlled over the DevTools protocol by this library's client. */
export class Browser implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #dir: string;
  readonly #ctx = new Context({ maxMessageSize: 64 * 1024 * 1024 });
  readonly #waiting = new Map<number, Waiting>();
  /** The errors in pages. */
  readonly errors: string[] = [];
  #conn!: Connection;
  #next = 0;

  private constructor(process: Deno.ChildProcess, dir: string) {
    this.#process = process;
    this.#dir = dir;
  }

  /** @param flags Further flags of the browser. */
  static async start(flags: string[] = []): Promise<Browser> {
    const dir = await Deno.makeTempDir();
    const process = new Deno.Command(chromium!, {
      args: [...FLAGS, ...flags, `--user-data-dir=${dir}`, "about:blank"],
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const browser = new Browser(process, dir);
    const url = await devToolsUrl(process.stderr);
    browser.#conn = browser.#ctx.connect(url, {
      onMessage: (_, data) => browser.#receive(JSON.parse(String(data))),
      onClose: (_, close) => {
        for (const { reject } of browser.#waiting.values()) reject(new Error(String(close)));
      },
    });
    await browser.#conn.opened;
    return browser;
  }

  /** Sends a command. */
  call(method: string, params: Fields = {}, sessionId?: string): Promise<Fields> {
    const id = ++this.#next;
    const { promise, resolve, reject } = Promise.withResolvers<Fields>();
    this.#waiting.set(id, { resolve, reject });
    this.#conn.send(JSON.stringify({ id, method, params, sessionId }));
    return promise;
  }

  /** Opens a tab. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, sessionId as string);
    await tab.call("Runtime.enable");
    await tab.call("Log.enable");
    await tab.call("Page.enable");
    await tab.call("Page.navigate", { url });
    return tab;
  }

  #receive(message: Fields & { id?: number; params?: Fields; error?: { message: string } }) {
    if (message.id !== undefined) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.reject(new Error(message.error.message));
      else waiting?.resolve(message.result as Fields);
    } else if (message.method === "Runtime.exceptionThrown") {
      this.errors.push(JSON.stringify(message.params));
    } else if (message.method === "Log.entryAdded") {
      const { entry } = message.params as { entry: { level: string } };
      if (entry.level === "error") this.errors.push(JSON.stringify(entry));
    }
  }

  async [Symbol.asyncDispose]() {
    await mayFail(this.call("Browser.close"), "it may close before its response");
    await this.#process.status;
    await this.#ctx.shutdown({ timeout: 0 });
    await mayFail(Deno.remove(this.#dir, { recursive: true }), "its children may still write");
  }
}

/** A tab. */
export class Tab {
  readonly #browser: Browser;
  readonly #session: string;

  constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
  }

  call(method: string, params: Fields = {}): Promise<Fields> {
    return this.#browser.call(method, params, this.#session);
  }

  /** Evaluates an expression, and waits for its promise. */
  async evaluate<T = unknown>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }) as { result: { value: T }; exceptionDetails?: { exception?: { description: string } } };
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string): Promise<void> {
    const start = performance.now();
    for (;;) {
      // A navigation ends the evaluation with an error.
      const holds = await this.evaluate(`!!(${expression})`).catch(() => false);
      if (holds) return;
      if (performance.now() - start > 30_000) throw new Error(`Still not true: ${expression}`);
    }
  }

  /** Presses a key. */
  async press(key: string, code: string, keyCode: number): Promise<void> {
    const text = key.length === 1 ? key : undefined;
    for (const type of ["keyDown", "keyUp"]) {
      await this.call("Input.dispatchKeyEvent", {
        type,
        key,
        code,
        text: type === "keyDown" ? text : undefined,
        windowsVirtualKeyCode: keyCode,
      });
    }
  }

  /** Types a text into the focused element. */
  async type(text: string): Promise<void> {
    await this.call("Input.insertText", { text });
  }

  /** Takes a picture of the whole page at a screen width. */
  async screenshot(width: number, options: { dark?: boolean; mobile?: boolean } = {}) {
    const { dark = false, mobile = false } = options;
    await this.call("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
    await this.call("Emulation.setDeviceMetricsOverride", {
      width,
      height: 900,
      deviceScaleFactor: 1,
      mobile,
    });
    await this.call("Page.bringToFront");
    // Charts are redrawn at the new width with the next samples.
    await this.evaluate(
      "new Promise((done) => { let n = 0; const look = () => ++n > 12 ? done() : requestAnimationFrame(look); look(); })",
    );
    const { data } = await this.call("Page.captureScreenshot", { captureBeyondViewport: true });
    return Uint8Array.fromBase64(data as string);
  }
}

async function devToolsUrl(stderr: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const reader = stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The browser has ended: ${text}`);
    text += value;
    const match = /DevTools listening on (ws:\S+)/.exec(text);
    if (match !== null) {
      // The rest is read and dropped, so that a full pipe doesn't stop the browser.
      (async () => {
        while (!(await reader.read()).done);
      })();
      return match[1];
    }
  }
}
