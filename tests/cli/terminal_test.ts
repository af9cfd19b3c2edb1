import { assert, assertEquals, assertMatch } from "@std/assert";
import { deno } from "../support/child.ts";
import { findProgram, skip } from "../support/needs.ts";
import { COMMAND, Tool, wsServer } from "./_tool.ts";

const tmux = findProgram("tmux");

/** A real terminal: tmux. */
class Screen implements AsyncDisposable {
  readonly #socket = `sluice-${crypto.randomUUID()}`;

  async start(): Promise<void> {
    await this.#tmux("new-session", "-d", "-x", "120", "-y", "40", "env", "PS1=$ ", "sh");
  }

  /** Types a line. */
  async type(text: string): Promise<void> {
    await this.keys(text);
    await this.key("Enter");
  }

  async keys(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
  }

  async key(name: string): Promise<void> {
    await this.#tmux("send-keys", name);
  }

  /** Waits until the screen matches. */
  async until(pattern: RegExp): Promise<string> {
    const start = performance.now();
    for (;;) {
      const screen = await this.#tmux("capture-pane", "-p", "-J");
      if (pattern.test(screen)) return screen;
      if (performance.now() - start > 30_000) {
        throw new Error(`The screen never matched ${pattern}:\n${screen}`);
      }
    }
  }

  async #tmux(...args: string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("tmux", {
      args: ["-L", this.#socket, ...args],
      stdout: "piped",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  }

  async [Symbol.asyncDispose]() {
    await this.#tmux("kill-server");
  }
}

Deno.test({
  name: "every command works in a real terminal, against this library and ws",
  ignore: skip(tmux, "tmux"),
  async fn(t) {
    const sluice = `${Deno.execPath()} ${COMMAND.join(" ")}`;
    await using server = await wsServer((socket) =>
      socket.on("message", (data: unknown, binary: boolean) => socket.send(data, { binary }))
    );
    await using screen = new Screen();
    await screen.start();

    await t.step("connect: a typed line is echoed; Ctrl-C exits with 130", async () => {
      await screen.type(`${sluice} connect ${server.url}; echo code $?`);
      await screen.until(/connected to ws:[^]*^> *$/m);
      await screen.type("hello there");
      await screen.until(/^> hello there\n< hello there\n> *$/m);
      await screen.key("C-c");
      const shown = await screen.until(/code \d+$/m);
      assertMatch(shown, /code 130$/m);
      assert(!/\n\s+at /.test(shown), shown);
    });
    await t.step(
      "connect: a line that is being typed stays complete when a message arrives",
      async () => {
        await screen.type(`clear; ${sluice} connect ${server.url}; echo code $?`);
        await screen.until(/^> *$/m);
        // Longer than the width of the screen.
        const long = "0123456789".repeat(14);
        await screen.keys(long);
        await screen.until(/^> 0123456789[\d\n]*0123456789$/m);
        for (const socket of server.clients()) socket.send("first\nsecond");
        const shown = await screen.until(/^< second\n> 0123456789/m);
        assertMatch(shown, /^connected to .*\n< first\n< second\n> 0/m);
        assert(shown.includes(`> ${long}`), shown);
        await screen.key("Enter");
        await screen.until(new RegExp(`^< ${long}$`, "m"));
        await screen.key("C-c");
        await screen.until(/code 130$/m);
      },
    );
    await t.step("connect: commands are executed", async () => {
      await screen.type(`clear; ${sluice} connect ${server.url}; echo code $?`);
      await screen.until(/^> *$/m);
      await screen.type("/ping");
      await screen.until(/^ping: [\d.]+ ms$/m);
      await screen.type("/pause");
      await screen.until(/^paused/m);
      await screen.type("held");
      await screen.type("/resume");
      await screen.until(/^> \/resume\nresumed\n< held$/m);
      await screen.type("//slash");
      await screen.until(/^< \/slash$/m);
      await screen.type("/frob");
      await screen.until(/^unknown command \/frob: \/ping/m);
      await screen.type("/close 1006");
      await screen.until(/^Cannot close with code 1006/m);
      await screen.type("/close 4000 enough of it");
      assertMatch(
        await screen.until(/code \d+$/m),
        /closed: sent 4000 .*"enough of it"; received 4000 .*\n.*code 0$/m,
      );
    });
    await t.step(
      "connect --reconnect: typed lines are sent after a lost connection is back",
      async () => {
        await using first = await wsServer(() => {});
        const { port } = new URL(first.url);
        await screen.type(`clear; ${sluice} connect ${first.url} --reconnect; echo code $?`);
        await screen.until(/connected to/);
        await first[Symbol.asyncDispose]();
        await screen.until(/has ended.*again in/);
        await using _second = await wsServer(
          (socket) => socket.on("message", (data: unknown) => socket.send(`second: ${data}`)),
          {
            port: Number(port),
          },
        );
        await screen.until(/connected to [^]*connected to/);
        await screen.type("still there?");
        await screen.until(/^< second: still there\?$/m);
        await screen.key("C-c");
        await screen.until(/code 130$/m);
        // The terminal is restored: typed characters are shown.
        await screen.type("clear; echo as it was");
        await screen.until(/^as it was$/m);
      },
    );
    await t.step("connect: Ctrl-D exits with 0", async () => {
      await screen.type(`clear; ${sluice} connect ${server.url}; echo code $?`);
      await screen.until(/^> *$/m);
      await screen.key("C-d");
      assertMatch(await screen.until(/code \d+$/m), /closed: sent 1000.*\n.*code 0$/m);
    });
    await t.step("connect: a server's text doesn't control the terminal", async () => {
      await screen.type(`clear; printf '\\033[2Jgone\\n' | ${sluice} connect ${server.url}`);
      await screen.until(/^\\u001b\[2Jgone$/m);
      await screen.until(/closed: sent 1000/);
    });
    await t.step("listen and relay: Ctrl-C exits with 0", async () => {
      for (const command of ["listen 0", `relay 0 ${server.url}`]) {
        await screen.type(`clear; ${sluice} ${command}; echo code $?`);
        // Not a match on the screen of the command before, which may not be cleared yet.
        await screen.until(/listening on ws:(?![^]*code \d)/);
        await screen.key("C-c");
        assertMatch(await screen.until(/code \d+$/m), /code 0$/m);
      }
    });
    await t.step("bench: a progress bar is replaced by the figures", async () => {
      await using tool = new Tool("listen", "0", "-q");
      for (const url of [server.url, await tool.url()]) {
        await screen.type(`clear; ${sluice} bench ${url} --seconds 1; echo code $?`);
        await screen.until(/█+░* \d+ % {2}[\d,]+ messages\/s/);
        const shown = await screen.until(/code \d+$/m);
        assertMatch(shown, /^throughput {2}[\d,]+ messages\/s/m);
        assertMatch(shown, /code 0$/m);
        assert(!shown.includes("░"), shown);
      }
    });
  },
});

Deno.test({
  name: "compile: the module graph resolves and is embedded",
  // With a stand-in for the base binary, which can't be downloaded everywhere; on Windows it would have to be an .exe.
  ignore: Deno.build.os === "windows",
  async fn() {
    const dir = await Deno.makeTempDir();
    try {
      const base = `${dir}/base`;
      await Deno.copyFile("/bin/true", base);
      await Deno.chmod(base, 0o755);
      const config = JSON.parse(
        await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
      );
      const args: string[] = config.tasks.compile.split(" ").slice(1);
      args[args.indexOf("--output") + 1] = `${dir}/sluice`;
      const { code, stderr: said } = await deno(args, {
        cwd: new URL("../..", import.meta.url),
        env: { DENORT_BIN: base },
      });
      assertEquals(code, 0, said);
      const binary = await Deno.readTextFile(`${dir}/sluice`);
      for (const module of ["cli.ts", "cli/relay.ts", "src/engine/engine.ts", "cli/args.ts"]) {
        assert(said.includes(module) || binary.includes(module), `${module} isn't embedded`);
      }
      assertEquals(binary.includes("send messages, and print what arrives"), true);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
