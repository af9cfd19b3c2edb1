import { assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { type CloseRecord, Context } from "../../mod.ts";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { echoing, exercise, holdBack, ROOM } from "./_exercise.ts";

Deno.test("adopt works in an Express application", async () => {
  await using ctx = new Context();
  const app = express();
  app.get("/hello", (_request: unknown, response: { send(text: string): void }) => {
    response.send("from express");
  });
  const server = createServer(app);
  const ended = Promise.withResolvers<CloseRecord>();
  server.on("upgrade", (request, socket, head) => {
    ctx.adopt(socket, { request, initialData: head, ...echoing(ended.resolve) });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/hello`)).text(), "from express");
  await exercise(ctx.connect(`ws://127.0.0.1:${port}/ws`, ROOM));
  assertEquals((await ended.promise).code, 4001);
  await new Promise((done) => server.close(done));
});

Deno.test("adopt works in a Fastify application", async () => {
  await using ctx = new Context();
  const app = fastify();
  app.get("/hello", () => "from fastify");
  app.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    ctx.adopt(socket, { request, initialData: head, ...echoing() });
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/hello`)).text(), "from fastify");
  await exercise(ctx.connect(`ws://127.0.0.1:${port}/ws`, ROOM));
  await app.close();
});

Deno.test("upgrade works in a Hono application", async () => {
  await using ctx = new Context();
  const app = new Hono();
  app.get("/hello", (c) => c.text("from hono"));
  app.get("/ws", (c) => {
    return ctx.upgrade(c.req.raw, { ...echoing(), maxHeldBytes: 16 << 20 }).response;
  });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  const { port } = server.addr;
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/hello`)).text(), "from hono");
  await exercise(ctx.connect(`ws://127.0.0.1:${port}/ws`, ROOM));
  await server.shutdown();
});

Deno.test("Hono works as the handler of a listener", async () => {
  await using ctx = new Context();
  const app = new Hono();
  app.get("/hello", (c) => c.text("from hono"));
  const listener = ctx.listen({ port: 0, handler: (request) => app.fetch(request), ...echoing() });
  const url = `http://127.0.0.1:${listener.port}/hello`;
  assertEquals(await (await fetch(url)).text(), "from hono");
  await exercise(ctx.connect(listener.url, ROOM));
});

const NGINX = findProgram("nginx");

Deno.test({
  name:
    "a listener works behind nginx with TLS, a Unix socket upstream, and kept-alive upstream connections",
  ignore: skip(NGINX, "nginx"),
  fn: async () => {
    using certificates = makeCertificates();
    const { ca, server, dir } = certificates;
    await Deno.chmod(dir, 0o755);
    await using ctx = new Context({ tls: { caCerts: [ca] } });
    const path = `${dir}/upstream.sock`;
    const handler = (request: Request) => new Response(new URL(request.url).pathname);
    const unix = ctx.listen({ unix: path, handler, ...echoing() });
    await Deno.chmod(path, 0o777);
    const tcp = ctx.listen({ port: 0, hostname: "127.0.0.1", handler, ...echoing() });
    await Deno.writeTextFile(`${dir}/cert.pem`, server.cert);
    await Deno.writeTextFile(`${dir}/key.pem`, server.key);
    const [plain, secure] = [freePort(), freePort()];
    await Deno.writeTextFile(
      `${dir}/nginx.conf`,
      `daemon off; pid ${dir}/nginx.pid; error_log ${dir}/error.log; worker_processes 1; user root;
      events {}
      http {
        access_log off;
        client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy;
        fastcgi_temp_path ${dir}/fastcgi; uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
        map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
        upstream kept { server 127.0.0.1:${tcp.port}; keepalive 4; }
        upstream unix { server unix:${path}; keepalive 4; }
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_buffering off;
        server { listen 127.0.0.1:${plain}; location / { proxy_pass http://kept; } }
        server {
          listen 127.0.0.1:${secure} ssl;
          ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
          location / { proxy_pass http://unix; }
        }
      }`,
    );
    await using _nginx = await startServer(NGINX!, ["-c", `${dir}/nginx.conf`], plain);
    using client = Deno.createHttpClient({ caCerts: [ca] });
    for (let round = 0; round < 3; round++) {
      // Requests first, so that upgrades come on connections that have carried requests.
      for (const url of [`http://127.0.0.1:${plain}/a`, `https://localhost:${secure}/a`]) {
        assertEquals(await (await fetch(url, { client })).text(), "/a");
      }
      const size = round === 0 ? 8 << 20 : 1000;
      await exercise(ctx.connect(`ws://127.0.0.1:${plain}/ws`, ROOM), size);
      await exercise(ctx.connect(`wss://localhost:${secure}/ws`, ROOM), size);
    }
    await holdBack(ctx.connect(`ws://127.0.0.1:${plain}/ws`, ROOM));
    await holdBack(ctx.connect(`wss://localhost:${secure}/ws`, ROOM));
    await unix.shutdown();
  },
});
