/** The examples of authentication, and the JSON-RPC client. */
import { assertEquals } from "@std/assert";
import { runExample } from "../support/example.ts";

const EXPECTED: Record<string, string[]> = {
  cookie_server: [
    "our page, logged in: you are Ann",
    "our page, not logged in: refused with 401",
    "another site's page: refused with 403",
  ],
  token_server: [
    "without a token: refused with 401",
    "with a token: you are Ann",
    "closed with 4401, token expired, later than the first token's end",
    "with the expired token: refused with 401",
  ],
  json_rpc_client: [
    "client: out of order: slept 1 ms, slept 30 ms",
    "client: 1 + 2 + 39 = 42",
    "server: told something",
    "client: -32601 Method not found",
    "client: No answer to sleep in time",
    "client: cancelled by a TimeoutError",
    "client: 100 calls at once, the last answer is 100",
    "client: No answer: sent 1000 (normal closure); received 1000 (normal closure)",
  ],
};

for (const [name, lines] of Object.entries(EXPECTED)) {
  Deno.test(`examples/${name}.ts`, async () => {
    const { code, stdout, stderr } = await runExample(name);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout.trimEnd().split("\n"), lines);
  });
}
