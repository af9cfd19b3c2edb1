/** Peers that have reset their connection before it was accepted, like scanners and health checks. */
import { assert, assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { findProgram, skip } from "../support/needs.ts";

const PYTHON = findProgram("python3");

const FLOOD = `
import socket, struct, sys
for i in range(int(sys.argv[2])):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.close()
`;

Deno.test({
  name: "peers that reset at once don't make accepting pause, and aren't reported",
  ignore: skip(PYTHON, "python3"),
  fn: async () => {
    const said: unknown[] = [], { error } = console;
    console.error = (...args) => said.push(args);
    try {
      await using ctx = new Context();
      const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: () => {} });
      // All at once, while nothing is accepted here.
      const { success } = new Deno.Command(PYTHON!, {
        args: ["-c", FLOOD, String(listener.port), "100"],
      }).outputSync();
      assert(success);
      const start = performance.now();
      await ctx.connect(listener.url).opened;
      const took = performance.now() - start;
      // With a pause after each, growing to a second, it took more than a minute and a half.
      assert(took < 2000, `${took} ms`);
      assertEquals(said, []);
    } finally {
      console.error = error;
    }
  },
});
