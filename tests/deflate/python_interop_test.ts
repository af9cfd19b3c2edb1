import { assertEquals } from "@std/assert";
import { type CompressionOptions, Context } from "../../mod.ts";
import { assertSame, cut, traffic } from "./traffic.ts";

// Debian's python3-websockets in both roles: another implementation of the codec and of the negotiation.

/** An interpreter that has the package. One of a version manager may lack it. */
const PYTHON = ["/usr/bin/python3", "python3"].find((command) => {
  try {
    return new Deno.Command(command, { args: ["-c", "import websockets"], stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
});
const SCRIPT = new URL("./python_peer.py", import.meta.url).pathname;
// Continuous integration installs the package, so its absence is an error there.
const ignore = PYTHON === undefined && Deno.env.get("CI") === undefined;

type Parameters = Record<string, boolean | number>;

const CLIENTS: [Parameters, string][] = [
  [{}, "permessage-deflate"],
  [{ client_max_window_bits: true }, "permessage-deflate"],
  [
    { server_max_window_bits: 9, client_max_window_bits: 10 },
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
  ],
  [
    { server_no_context_takeover: true, client_no_context_takeover: true },
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  ],
  [
    { server_no_context_takeover: true, server_max_window_bits: 12 },
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
  ],
  [
    { client_no_context_takeover: true, client_max_window_bits: 9 },
    "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
  ],
];

for (const [parameters, agreed] of CLIENTS) {
  Deno.test({
    name: `a server exchanges messages with a Python client: ${JSON.stringify(parameters)}`,
    ignore,
    async fn() {
      await using ctx = new Context({ maxMessageSize: 0 });
      let extensions = "", number = 0;
      const listener = ctx.listen({
        port: 0,
        compression: { threshold: 0 },
        onConnect: (conn) => void (extensions = conn.extensions),
        onMessage: (conn, data) => void conn.send(data, { compress: number++ % 3 !== 0 }),
      });
      const url = `ws://127.0.0.1:${listener.port}/`;
      const { stdout, stderr } = await new Deno.Command(PYTHON!, {
        args: [SCRIPT, "client", url, JSON.stringify(parameters), "1000"],
      }).output();
      assertEquals(new TextDecoder().decode(stderr), "");
      const result = JSON.parse(new TextDecoder().decode(stdout));
      assertEquals(result, { agreed: ["permessage-deflate"], close: 1000 });
      assertEquals(extensions, agreed);
    },
  });
}

const SERVERS: [Parameters, CompressionOptions, string][] = [
  [{}, {}, "permessage-deflate"],
  [
    { server_max_window_bits: 10, client_max_window_bits: 9 },
    {},
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
  ],
  [
    { server_no_context_takeover: true, client_no_context_takeover: true },
    {},
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  ],
  [
    {},
    { contextTakeover: false, windowBits: 11 },
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; " +
    "server_max_window_bits=11; client_max_window_bits=11",
  ],
];

for (const [parameters, options, agreed] of SERVERS) {
  Deno.test({
    name: `a client with ${JSON.stringify(options)} exchanges messages with a Python server: ${
      JSON.stringify(parameters)
    }`,
    ignore,
    async fn() {
      await using server = new Deno.Command(PYTHON!, {
        args: [SCRIPT, "server", JSON.stringify(parameters)],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const output = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const port = Number((await output.read()).value);
      {
        await using ctx = new Context({ maxMessageSize: 0 });
        const conn = ctx.connect(`ws://127.0.0.1:${port}/`, {
          compression: { threshold: 0, ...options },
        });
        assertEquals((await conn.opened).extensions, agreed);
        for (const parcel of traffic(1000)) {
          const { data, compress, fragments } = parcel;
          if (fragments === 1) {
            conn.send(data, { compress });
          } else {
            const binary = typeof data !== "string", parts = cut(parcel);
            parts.forEach((part, i) =>
              conn.sendFragment(part, { binary, compress, final: i === parts.length - 1 })
            );
          }
          assertSame(await conn.receive() as string | Uint8Array, data);
        }
        await conn[Symbol.asyncDispose]();
        assertEquals((await conn.closed).code, 1000);
      }
      await server.stdin.close();
      await output.cancel();
    },
  });
}
