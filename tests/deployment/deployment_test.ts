/** The configurations of docs/deployment.md, each run by its program in front of the page's server. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { CLIENT, Origin } from "../proxied/_origin.ts";
import { makeCertificates } from "../transport/certificates.ts";

const ROOT = new URL("../../", import.meta.url);
const page = Deno.readTextFileSync(new URL("docs/deployment.md", ROOT));

/** The code blocks of the page in a language. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm"))].map((
    [, text],
  ) => text);
}

/** Runs the page's server on a port. */
async function serve(dir: string, port: number) {
  const [code] = blocks("ts no-eval");
  const file = `${dir}/server.ts`;
  await Deno.writeTextFile(file, code.replace('"@sluice/websocket"', `"${ROOT}mod.ts"`));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-net", "--allow-env", file],
    env: { PORT: String(port), NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertMatch((await reader.read()).value!, /^listening on /);
  let running = true;
  const status = child.status.finally(() => running = false);
  return {
    status,
    terminate: () => child.kill("SIGTERM"),
    async [Symbol.asyncDispose]() {
      if (running) child.kill("SIGKILL");
      await reader.cancel();
      await status;
    },
  };
}

const MODULES = "/usr/lib/apache2/modules";

interface Front {
  readonly program: string;
  readonly language: string;
  /** Completes the page's configuration; returns the program's arguments. */
  arrange(part: string, dir: string): string[];
}

/** Forged headers of a client, which must have no effect. */
const FORGED: [string, string][] = [["X-Forwarded-For", "6.6.6.6"], ["Forwarded", "for=6.6.6.6"]];

const write = (path: string, text: string) => Deno.writeTextFileSync(path, text);

const FRONTS: Front[] = [
  {
    program: "nginx",
    language: "nginx",
    arrange(part, dir) {
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((name) => `${name}_temp_path ${dir}/${name};`).join(" ");
      write(
        `${dir}/nginx.conf`,
        `daemon off; pid ${dir}/pid; error_log ${dir}/log; worker_processes 1; user root;
        events {} http { access_log off; ${temporary} ${part} }`,
      );
      return ["-c", `${dir}/nginx.conf`];
    },
  },
  {
    program: "haproxy",
    language: "haproxy",
    arrange(part, dir) {
      write(`${dir}/haproxy.cfg`, part.replace("bind :", "bind 127.0.0.1:"));
      return ["-db", "-f", `${dir}/haproxy.cfg`];
    },
  },
  {
    program: "caddy",
    language: "caddyfile",
    arrange(part, dir) {
      // Without administration, storage outside `dir`, and port 80.
      const options =
        `{\n admin off\n auto_https disable_redirects\n storage file_system ${dir}\n}\n`;
      write(`${dir}/Caddyfile`, options + part);
      return ["run", "--adapter", "caddyfile", "--config", `${dir}/Caddyfile`];
    },
  },
  {
    program: "apache2",
    language: "apache",
    arrange(part, dir) {
      const modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http"]
        .map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join("\n");
      write(
        `${dir}/apache.conf`,
        `${modules}\nServerName localhost\nPidFile ${dir}/pid\nErrorLog ${dir}/log\nMutex file:${dir}\n` +
          part.replace("Listen ", "Listen 127.0.0.1:"),
      );
      return ["-X", "-d", dir, "-f", `${dir}/apache.conf`];
    },
  },
];

for (const { program, language, arrange } of FRONTS) {
  const path = findProgram(program);
  Deno.test({
    name:
      `docs/deployment.md: ${program} in front passes the client's address on, and a shutdown reaches the client`,
    ignore: skip(path, program),
    fn: async () => {
      using certificates = makeCertificates();
      const { ca, server: pair, dir } = certificates;
      await Deno.chmod(dir, 0o755);
      write(`${dir}/chat.pem`, pair.cert);
      write(`${dir}/chat.key`, pair.key);
      write(`${dir}/both.pem`, pair.cert + pair.key);
      const [behind, front] = [freePort(), freePort()];
      await using app = await serve(dir, behind);
      const [part] = blocks(language);
      const args = arrange(
        part.replaceAll("8080", `${behind}`).replaceAll("8443", `${front}`)
          .replaceAll("/etc/ssl", dir),
        dir,
      );
      await using _front = await startServer(path!, args, front);
      using origin = new Origin(front);
      await using ctx = new Context({ tls: { caCerts: [ca] } });
      const url = `wss://localhost:${front}/`;
      // A request for readiness may be pending when the balancer stops.
      const ready = async () => {
        using client = Deno.createHttpClient({ caCerts: [ca] });
        const response = await fetch(`https://localhost:${front}/readyz`, { client });
        await response.body?.cancel();
        return response.status;
      };
      while (await ready() !== 204);
      const conns = [];
      for (const headers of [[], FORGED]) {
        const conn = ctx.connect(url, { address: origin.address, headers });
        await conn.opened;
        assertEquals(await conn.receive(), `you are ${CLIENT}`);
        const large = new Uint8Array(300_000).fill(7);
        conn.send(large);
        assertEquals(((await conn.receive()) as Uint8Array).length, large.length);
        conns.push(conn);
      }
      app.terminate();
      const records = await Promise.all(conns.map((conn) => conn.closed));
      assertEquals(records.map(({ code, wasClean }) => [code, wasClean]), [[1001, true], [
        1001,
        true,
      ]]);
      assertEquals((await app.status).code, 0);
    },
  });
}

// ---- systemd -------------------------------------------------------------------------------------------------------

const ACTIVATE = findProgram("systemd-socket-activate");
const PYTHON = findProgram("python3");

/** A socket unit of systemd for the page's service. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;
import { mayFail } from "../support/failure.ts";

Deno.test({
  name:
    "docs/deployment.md: a service with systemd's socket reports readiness, feeds the watchdog and stops",
  ignore: skip(ACTIVATE, "systemd-socket-activate") || skip(PYTHON, "python3") ||
    skip(findProgram("systemd-notify"), "systemd-notify"),
  fn: async () => {
    const [service] = blocks("ini").filter((text) => text.includes("ExecStart="));
    const flags = /ExecStart=\S+ run (.*) \S+$/m.exec(service)![1].split(" ");
    assert(flags.includes("--allow-run=systemd-notify"), "the flags must be those of the unit");
    const dir = await Deno.makeTempDir();
    const notified = new Deno.Command(PYTHON!, {
      args: ["-c", LISTENER, `${dir}/notify`],
      stdout: "piped",
    })
      .spawn();
    const told: string[] = [];
    const reading = (async () => {
      for await (const text of notified.stdout.pipeThrough(new TextDecoderStream())) {
        told.push(...text.trimEnd().split("\n"));
      }
    })();
    await until(() => told.includes("bound"));
    const port = freePort();
    const child = new Deno.Command(ACTIVATE!, {
      args: [
        ...["-l", `127.0.0.1:${port}`, "-E", `NOTIFY_SOCKET=${dir}/notify`],
        ...[
          "-E",
          "WATCHDOG_USEC=200000",
          "-E",
          "NO_COLOR=1",
          "-E",
          `DENO_DIR=${Deno.env.get("DENO_DIR") ?? ""}`,
        ],
        ...["-E", `PATH=${Deno.env.get("PATH")}`, "-E", `HOME=${Deno.env.get("HOME")}`],
        ...[
          Deno.execPath(),
          "run",
          "--no-check",
          ...flags,
          new URL("examples/systemd_service.ts", ROOT).pathname,
        ],
      ],
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let status: Deno.CommandStatus | null = null;
    try {
      const errors = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
      assertMatch((await errors.read()).value!, /^Listening on /);
      errors.releaseLock();
      await using ctx = new Context();
      // The first connection starts the service, and waits until it is ready.
      const conn = ctx.connect(`ws://127.0.0.1:${port}/`, { connectTimeout: 30_000 });
      await conn.opened;
      conn.send("hello");
      assertEquals(await conn.receive(), "hello");
      await until(() => told.filter((line) => line.includes("WATCHDOG=1")).length >= 2);
      assert(told.some((line) => line.includes("READY=1")), told.join());
      child.kill("SIGTERM");
      assertEquals((await conn.closed).code, 1001);
      status = await child.status;
      assertEquals(status.code, 0);
      await until(() => told.some((line) => line.includes("STOPPING=1")));
    } finally {
      if (status === null) child.kill("SIGKILL");
      await child.status;
      await child.stdout.cancel();
      await mayFail(child.stderr.cancel(), "it may have been read already");
      notified.kill("SIGKILL");
      await notified.status;
      await reading;
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test("docs/deployment.md: the page has no other configurations than those tested here", () => {
  const languages = [...page.matchAll(/^```(\S+)/gm)].map(([, language]) => language);
  assertEquals(
    languages.sort(),
    [...FRONTS.map(({ language }) => language), "ts", "ini", "ini", "yaml"].sort(),
  );
});
