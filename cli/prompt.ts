import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import type { ReceivedMessage } from "../mod.ts";
import { printable } from "../src/util/quote.ts";
import { hexLine } from "./format.ts";
import type { Terminal } from "./terminal.ts";
import { PlainView, type ViewOptions } from "./view.ts";

const encoder = new TextEncoder();
// No colours with NO_COLOR, as in Deno itself.
const [DIM, PLAIN] = Deno.noColor ? ["", ""] : ["\x1b[2m", "\x1b[0m"];

/**
 * A conversation on a terminal: a typed line begins with `>`, a received one with `<`, and remarks are dimmed. The line that
 * is being typed stays at the bottom.
 */
export class PromptView extends PlainView {
  /** Called with the text after a `/`. A message that begins with a `/` is typed with a second one. */
  obey: (command: string) => void = () => {};
  readonly #readline: Interface;
  readonly #lines: string[] = [];
  #wake = () => {};
  #ended = false;

  constructor(terminal: Terminal, options: ViewOptions) {
    super(terminal, options);
    // Everything is written through `terminal.out`, which keeps it in order.
    const output = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        terminal.out.write(chunk.slice());
        done();
      },
    });
    Object.defineProperty(output, "columns", { get: () => columns() });
    this.#readline = createInterface({
      input: process.stdin,
      output,
      terminal: true,
      prompt: "> ",
    });
    this.#readline.on("line", (line: string) => {
      // Commands are executed at once, even if messages wait for a server that doesn't read them.
      if (/^\/(?!\/)/.test(line)) this.obey(line.slice(1));
      else if (line !== "") this.#lines.push(line.replace(/^\/\//, "/"));
      this.#wake();
      if (!this.#ended) this.#readline.prompt();
    });
    this.#readline.on("SIGINT", () => terminal.interrupt());
    this.#readline.on("close", () => {
      if (!this.#ended) this.#clear();
      this.#ended = true;
      this.#wake();
    });
    terminal.restore = () => this.end();
    this.#readline.prompt();
  }

  /** The typed lines, until Ctrl-D. */
  async *lines(): AsyncGenerator<string> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) {
        yield line;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Restores the terminal. */
  end(): void {
    if (!this.#ended) this.#readline.close();
  }

  override message(data: ReceivedMessage): Promise<void> | undefined {
    // Line ends can stay, since each line begins with the mark.
    if (typeof data !== "string") return this.#print(`< ${hexLine(data)}`);
    return this.#print(data.split(/\r?\n/).map((line) => `< ${printable(line)}`).join("\n"));
  }

  protected override remark(text: string): void {
    if (!this.terminal.quiet) this.#print(`${DIM}${printable(text)}${PLAIN}`);
  }

  /** Prints a remark about the conversation itself. */
  say(text: string): void {
    this.remark(text);
  }

  /** Prints above the line that is being typed. */
  #print(text: string): Promise<void> | undefined {
    const { out } = this.terminal;
    if (this.#ended) return out.line(text);
    const rows = this.#clear();
    // Drawing the prompt again begins with going up by the rows that it had.
    const written = out.write(encoder.encode(`${text}\n${"\n".repeat(rows)}`));
    this.#readline.prompt(true);
    return written;
  }

  /** Removes the line that is being typed from the screen; returns the row of the cursor in it. */
  #clear(): number {
    const { rows } = this.#readline.getCursorPos();
    this.terminal.out.write(encoder.encode(`${rows > 0 ? `\x1b[${rows}A` : ""}\r\x1b[J`));
    return rows;
  }
}

function columns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}
