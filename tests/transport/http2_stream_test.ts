// A stream of HTTP/2 as a transport, over two sessions in the same process: each gets the other's bytes within the call.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { once } from "node:events";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { addAbortSignal } from "node:stream";
import { type Http2Carrier, Http2StreamTransport } from "../../src/transport/http2_stream.ts";
import { duplexPair } from "../support/duplex_pair.ts";

const carrier: Http2Carrier = {
  localAddr: null,
  remoteAddr: null,
  congested: false,
  lost: false,
  goaway: null,
  whenTaken() {},
  count() {},
};

interface Streams extends AsyncDisposable {
  transport: Http2StreamTransport;
  peer: ServerHttp2Stream;
}

/** Opens a stream of a client; returns both ends. */
async function streams(initialWindowSize = 65_535): Promise<Streams> {
  const [near, far] = duplexPair();
  const sessions: (ClientHttp2Session | ServerHttp2Session)[] = [];
  const accepted = Promise.withResolvers<ServerHttp2Stream>();
  const server = http2.performServerHandshake(far, {
    settings: { enableConnectProtocol: true, initialWindowSize },
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    accepted.resolve(stream);
  });
  const client = http2.connect("http://localhost", { createConnection: () => near });
  sessions.push(client, server);
  for (const session of sessions) session.on("error", () => {});
  await once(client, "remoteSettings");
  const stream: ClientHttp2Stream = client.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":path": "/",
    ":authority": "localhost",
  }, { endStream: false });
  stream.on("error", () => {});
  await once(stream, "response");
  return {
    transport: new Http2StreamTransport(stream, carrier),
    peer: await accepted.promise,
    async [Symbol.asyncDispose]() {
      const closed = sessions.map((session) => once(session, "close"));
      for (const session of sessions) session.destroy();
      await Promise.all(closed);
    },
  };
}

/** Resets a stream with CANCEL; `close` would end its direction first. */
function reset(stream: ServerHttp2Stream): void {
  addAbortSignal(AbortSignal.abort(), stream);
}

/** Waits until the transport is writable or has failed. */
function writable(transport: Http2StreamTransport): Promise<void> {
  return new Promise((resolve) => transport.whenWritable(resolve));
}

Deno.test("bytes that a stream has sent count as taken, although a reset comes before its callback", async () => {
  await using both = await streams();
  const { transport, peer } = both;
  peer.once("data", () => reset(peer));
  const data = new Uint8Array(100);
  assertEquals(transport.tryWrite(data), 0);
  await writable(transport);
  assertEquals(transport.tryWrite(data), 100);
  await assertRejects(() => transport.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  assertThrows(() => transport.tryWrite(data), Deno.errors.ConnectionReset, "reset with CANCEL");
});

Deno.test("bytes that a stream hasn't sent before a reset don't count as taken", async () => {
  await using both = await streams(0);
  const { transport, peer } = both;
  const data = new Uint8Array(100);
  assertEquals(transport.tryWrite(data), 0);
  reset(peer);
  await writable(transport);
  assertThrows(() => transport.tryWrite(data), Deno.errors.ConnectionReset, "reset with CANCEL");
});
