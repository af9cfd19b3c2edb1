// The behaviour of handlers of ordinary HTTP, over HTTP/1.1 and HTTP/2, with the platform's client.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Context, type HttpHandler, type ListenOptions } from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { EventLog } from "../support/event_log.ts";
import { standstill, turn } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { pattern } from "../transport/streams.ts";

type Init = RequestInit & { duplex?: "half" };

interface Served extends AsyncDisposable {
  ctx: Context;
  port: number;
  fetch(path: string, init?: Init): Promise<Response>;
}

const VERSIONS = ["1.1", "2"] as const;
type Version = typeof VERSIONS[number];

const certificates = makeCertificates();
addEventListener("unload", () => certificates[Symbol.dispose]());

/** A listener with TLS, and a client that uses one version of HTTP. */
function serve(version: Version, handler: HttpHandler, options: ListenOptions = {}): Served {
  const ctx = new Context();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    tls: certificates.server,
    http2: true,
    handler,
    ...options,
  });
  const client = Deno.createHttpClient({
    caCerts: [certificates.ca],
    http1: version === "1.1",
    http2: version === "2",
  });
  return {
    ctx,
    port,
    fetch: (path, init) => fetch(`https://localhost:${port}${path}`, { client, ...init }),
    async [Symbol.asyncDispose]() {
      client.close();
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

/** Defines a test for each version. */
function behaviour(name: string, test: (version: Version) => Promise<void>): void {
  for (const version of VERSIONS) Deno.test(`HTTP/${version}: ${name}`, () => test(version));
}

behaviour("the handler gets the method, URL, fields and address of a request", async (version) => {
  await using on = serve(version, (request, info) => {
    const { hostname } = info.remoteAddr as Deno.NetAddr;
    const { port } = info.localAddr as Deno.NetAddr;
    return Response.json([
      request.method,
      request.url,
      request.headers.get("x-own"),
      hostname,
      port,
    ]);
  });
  for (const method of ["GET", "POST", "DELETE", "PATCH", "OPTIONS"]) {
    const response = await on.fetch("/a/b?c=%20d", { method, headers: { "x-own": "yes" } });
    const url = `https://localhost:${on.port}/a/b?c=%20d`;
    assertEquals(await response.json(), [method, url, "yes", "127.0.0.1", on.port]);
  }
});

behaviour(
  "the client gets the status, fields and several cookies of a response",
  async (version) => {
    await using on = serve(version, () =>
      new Response("made", {
        status: 201,
        headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-own", "yes"], ["vary", "a"], [
          "vary",
          "b",
        ]],
      }));
    const response = await on.fetch("/");
    assertEquals([response.status, await response.text()], [201, "made"]);
    assertEquals(response.headers.getSetCookie(), ["a=1", "b=2"]);
    assertEquals([response.headers.get("x-own"), response.headers.get("vary")], ["yes", "a, b"]);
    assertEquals(response.headers.get("content-length"), "4");
    assertMatch(response.headers.get("date")!, /GMT$/);
  },
);

behaviour(
  "responses to HEAD and with 204 or 304 have no content, and empty responses are sent",
  async (version) => {
    await using on = serve(version, (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/none") return new Response(null, { status: 204 });
      if (pathname === "/same") return new Response(null, { status: 304 });
      return new Response(pathname === "/empty" ? "" : "content");
    });
    const head = await on.fetch("/", { method: "HEAD" });
    assertEquals([head.headers.get("content-length"), await head.text()], ["7", ""]);
    for (const [path, status] of [["/none", 204], ["/same", 304], ["/empty", 200]] as const) {
      const response = await on.fetch(path);
      assertEquals([response.status, await response.text()], [status, ""]);
    }
  },
);

behaviour(
  "bodies of 3 MiB are sent in both directions, with and without a length",
  async (version) => {
    await using on = serve(version, (request) => new Response(request.body));
    const body = pattern(3 << 20);
    for (
      const sent of [body, ReadableStream.from([body.subarray(0, 1 << 20), body.subarray(1 << 20)])]
    ) {
      const response = await on.fetch("/", { method: "POST", body: sent as BodyInit });
      assertEquals(new Uint8Array(await response.arrayBuffer()), body);
    }
  },
);

behaviour("a response streams: each piece arrives before the next is made", async (version) => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using on = serve(version, () =>
    new Response(ReadableStream.from(async function* () {
      yield new TextEncoder().encode("one");
      await gates[0].promise;
      yield new TextEncoder().encode("two");
      await gates[1].promise;
    }())));
  const response = await on.fetch("/");
  const reader = response.body!.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "one");
  gates[0].resolve();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "two");
  gates[1].resolve();
  assertEquals((await reader.read()).done, true);
});

behaviour("the head of a response is sent before delayed content", async (version) => {
  const gate = Promise.withResolvers<void>();
  await using on = serve(version, () =>
    new Response(ReadableStream.from(async function* () {
      await gate.promise;
      yield new TextEncoder().encode("late");
    }())));
  const response = await on.fetch("/");
  assertEquals(response.status, 200);
  gate.resolve();
  assertEquals(await response.text(), "late");
});

behaviour(
  "a request streams: the handler reads a piece before the next is sent",
  async (version) => {
    const got = new EventLog<string>();
    await using on = serve(version, async (request) => {
      for await (const piece of request.body!) got.push(new TextDecoder().decode(piece));
      return new Response("done");
    });
    const { readable, writable } = new TransformStream<Uint8Array>();
    const response = on.fetch("/", { method: "POST", body: readable, duplex: "half" } as Init);
    const writer = writable.getWriter();
    for (const piece of ["one", "two"]) {
      await writer.write(new TextEncoder().encode(piece));
      assertEquals(await got.next(), piece);
    }
    await writer.close();
    assertEquals(await (await response).text(), "done");
  },
);

behaviour("a response that isn't read stops its source", async (version) => {
  let pulled = 0;
  await using on = serve(version, () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          pulled++;
          controller.enqueue(new Uint8Array(64 * 1024));
        },
      }),
    ));
  const response = await on.fetch("/");
  // The kernel buffers some MiB of HTTP/1.1, the client's windows some MiB of HTTP/2.
  const made = await standstill(() => pulled);
  assert(made < 1000, `${made} pieces were made`);
  await response.body!.cancel();
});

behaviour(
  "a client that disconnects aborts the request and cancels the response",
  async (version) => {
    const aborted = Promise.withResolvers<void>(), cancelled = Promise.withResolvers<void>();
    await using on = serve(version, (request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("begun")),
          cancel: () => cancelled.resolve(),
        }),
      );
    });
    const abort = new AbortController();
    const response = await on.fetch("/", { signal: abort.signal });
    const reader = response.body!.getReader();
    await reader.read();
    abort.abort();
    await reader.read().catch(() => {});
    await aborted.promise;
    await cancelled.promise;
  },
);

behaviour(
  "a client that disconnects before there is a response aborts the request",
  async (version) => {
    const asked = Promise.withResolvers<void>(), aborted = Promise.withResolvers<void>();
    await using on = serve(version, (request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      asked.resolve();
      return new Promise<Response>(() => {});
    });
    const abort = new AbortController();
    const response = on.fetch("/", { signal: abort.signal });
    await asked.promise;
    abort.abort();
    await assertRejects(() => response);
    await aborted.promise;
  },
);

behaviour(
  "a client that disconnects in the middle of its body ends the body with an error",
  async (version) => {
    const failed = new EventLog<unknown>(), got = new EventLog<unknown>();
    await using on = serve(version, async (request) => {
      try {
        for await (const piece of request.body!) got.push(piece);
      } catch (error) {
        failed.push(error);
      }
      return new Response("late");
    });
    const abort = new AbortController();
    let source!: ReadableStreamDefaultController;
    const body = new ReadableStream({
      start(controller) {
        source = controller;
        controller.enqueue(pattern(10));
      },
    });
    const init = { method: "POST", body, duplex: "half", signal: abort.signal } as Init;
    const response = on.fetch("/", init);
    await got.next();
    abort.abort();
    // Over HTTP/2 the client is still waiting for the rest of the body.
    source.error(new Error("gone"));
    await assertRejects(() => response);
    await failed.next();
  },
);

behaviour("errors before a response lead to 500 without the error's text", async (version) => {
  const answers: Record<string, () => unknown> = {
    "/throws": () => {
      throw new Error("secret");
    },
    "/rejects": () => Promise.reject(new Error("secret")),
    "/nothing": () => undefined,
    "/text": () => "text",
    "/switching": () => new Response(null, { status: 101 }),
    "/used": () => {
      const response = new Response("used");
      response.body!.getReader();
      return response;
    },
    "/broken": () =>
      new Response(
        new ReadableStream({ start: (controller) => controller.error(new Error("secret")) }),
      ),
  };
  await using on = serve(
    version,
    (request) => answers[new URL(request.url).pathname]() as Response,
  );
  for (const path of Object.keys(answers)) {
    using said = new ConsoleErrors();
    const response = await on.fetch(path);
    assertEquals([response.status, await response.text()], [500, "Internal Server Error"], path);
    assertMatch(said.text, /A handler of ordinary HTTP has failed/);
  }
});

behaviour("the client notices an error in the middle of a response", async (version) => {
  await using on = serve(version, (request) =>
    new Response(
      ReadableStream.from(async function* () {
        yield new TextEncoder().encode("begun");
        await turn();
        if (request.url.endsWith("/fails")) throw new Error("secret");
        yield new TextEncoder().encode("more than was announced");
      }()),
      request.url.endsWith("/long")
        ? { headers: { "content-length": "10" } }
        : request.url.endsWith("/short")
        ? { headers: { "content-length": "100" } }
        : {},
    ));
  for (const path of ["/fails", "/long", "/short"]) {
    using said = new ConsoleErrors();
    const response = await on.fetch(path);
    if (path === "/long") {
      const text = await response.text().catch(() => "begun more");
      assert(text.length <= 10);
    } else await assertRejects(() => response.text(), undefined, undefined, path);
    assertMatch(said.text, /A handler of ordinary HTTP has failed/, path);
  }
});

behaviour(
  "a response before the end of the request's body leaves the client usable",
  async (version) => {
    await using on = serve(
      version,
      (request) => new Response(new URL(request.url).pathname === "/early" ? "no" : "fine"),
    );
    const early = await on.fetch("/early", { method: "POST", body: pattern(100_000) });
    assertEquals(await early.text(), "no");
    assertEquals(await (await on.fetch("/")).text(), "fine");
  },
);

behaviour("the body of a GET is dropped, and 50 requests at once are answered", async (version) => {
  await using on = serve(version, async (request) => {
    await turn();
    return new Response(new URL(request.url).pathname);
  });
  const paths = Array.from({ length: 50 }, (_, n) => `/${n}`);
  const texts = await Promise.all(paths.map(async (path) => (await on.fetch(path)).text()));
  assertEquals(texts, paths);
});

behaviour("a shutdown waits for requests in progress", async (version) => {
  const asked = Promise.withResolvers<void>(), gate = Promise.withResolvers<void>();
  await using on = serve(version, async () => {
    asked.resolve();
    await gate.promise;
    return new Response("the last");
  });
  const response = on.fetch("/");
  await asked.promise;
  const ended = on.ctx.shutdown();
  gate.resolve();
  assertEquals(await (await response).text(), "the last");
  assertEquals(await ended, { clean: 0, terminated: 0 });
});

behaviour("a shutdown cuts requests that aren't answered in time", async (version) => {
  const asked = Promise.withResolvers<void>(), aborted = Promise.withResolvers<void>();
  await using on = serve(version, (request) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    asked.resolve();
    return new Promise<Response>(() => {});
  });
  const response = on.fetch("/");
  await asked.promise;
  const cut = assertRejects(() => response);
  assertEquals(await on.ctx.shutdown({ timeout: 10 }), { clean: 0, terminated: 1 });
  await aborted.promise;
  await cut;
});

behaviour("trustProxy gives the client's address", async (version) => {
  await using on = serve(version, (_, info) => Response.json(info.remoteAddr), {
    trustProxy: ["127.0.0.0/8"],
    maxConnectionsPerAddress: 1,
  });
  for (const address of ["192.0.2.1", "192.0.2.2"]) {
    const response = await on.fetch("/", { headers: { "x-forwarded-for": address } });
    assertEquals((await response.json()).hostname, address);
  }
});
