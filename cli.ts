/**
 * The command line tool: `sluice connect`, `listen`, `bench` and `relay`.
 *
 *     deno run -A jsr:@sluice/websocket/cli --help
 *
 * @module
 */
import { Args, type Spec } from "./cli/args.ts";
import * as bench from "./cli/bench.ts";
import * as connect from "./cli/connect.ts";
import { type Failure, failureOf } from "./cli/failure.ts";
import * as listen from "./cli/listen.ts";
import * as relay from "./cli/relay.ts";
import { Terminal } from "./cli/terminal.ts";
import { HandshakeError } from "./mod.ts";
import { type Command, EXIT, HELP, UsageError } from "./cli/usage.ts";
import config from "./deno.json" with { type: "json" };

interface Runner {
  readonly spec: Spec;
  run(args: Args, terminal: Terminal): Promise<number>;
}

const COMMANDS: Record<Command, Runner> = {
  connect: { spec: connect.spec, run: connect.connect },
  listen: { spec: listen.spec, run: listen.listen },
  bench: { spec: bench.spec, run: bench.bench },
  relay: { spec: relay.spec, run: relay.relay },
};

/**
 * Runs a command.
 *
 * @param args The arguments after the program's name.
 * @returns The exit code; errors have been printed.
 *
 * @example
 * ```ts no-eval
 * import { main } from "@sluice/websocket/cli";
 *
 * Deno.exit(await main(["connect", "wss://example.com/feed", "--json"]));
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  const terminal = new Terminal();
  const name = args[0] ?? "";
  let code: number;
  try {
    code = await dispatch(name, args.slice(1), terminal);
  } catch (error) {
    const failure = failureOf(error);
    code = failure.code;
    const command = Object.hasOwn(COMMANDS, name) ? ` ${name}` : "";
    const hint = error instanceof UsageError ? ` (see sluice${command} --help)` : "";
    terminal.error(failure.message + hint);
    if (terminal.json) {
      terminal.event({ type: "error", exitCode: code, ...detailsOf(error, failure) });
    }
  }
  await terminal.flush();
  const { failure } = terminal.out;
  // If the command itself has failed, that was reported already.
  if (failure !== null && (code === EXIT.ok || code === EXIT.interrupted)) {
    terminal.error(`Cannot write to standard output: ${failureOf(failure).message}`);
    if (code === EXIT.ok) code = EXIT.lost;
    await terminal.err.flush();
  }
  return code;
}

async function dispatch(name: string, rest: string[], terminal: Terminal): Promise<number> {
  if (name === "--version" || name === "-V") {
    await terminal.out.line(`sluice ${config.version} (Deno ${Deno.version.deno})`);
    return EXIT.ok;
  }
  if (name === "--help" || name === "-h") return await help("", terminal);
  if (name === "help") return await help(rest[0] ?? "", terminal);
  if (name === "") throw new UsageError("Missing command");
  const command = commandOf(name);
  const { spec, run } = COMMANDS[command];
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === "--help" || arg === "-h")) {
    return await help(command, terminal);
  }
  const args = new Args(rest, spec);
  terminal.quiet = args.flag("quiet");
  terminal.json = args.flag("json");
  return await run(args, terminal);
}

function commandOf(name: string): Command {
  if (!Object.hasOwn(COMMANDS, name)) throw new UsageError(`Unknown command ${name}`);
  return name as Command;
}

async function help(name: string, terminal: Terminal): Promise<number> {
  await terminal.out.line(HELP[name === "" ? "" : commandOf(name)]);
  return EXIT.ok;
}

/** The details of an error for `--json`. */
function detailsOf(error: unknown, { message }: Failure): Record<string, unknown> {
  if (!(error instanceof HandshakeError)) return { message };
  return { message, status: error.status };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
