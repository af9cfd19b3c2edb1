/** The example that follows the links of certbot, with complete and interrupted renewals. */
import { assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { makeCertificates, type Pair } from "../transport/certificates.ts";

/** The layout of certbot: `live/NAME` has links to numbered files of `archive/NAME`. */
class Layout {
  readonly live: string;
  readonly #archive: string;
  #number = 0;

  constructor(root: string) {
    this.live = `${root}/live/chat.example`;
    this.#archive = `${root}/archive/chat.example`;
    Deno.mkdirSync(this.live, { recursive: true });
    Deno.mkdirSync(this.#archive, { recursive: true });
  }

  /** Writes new files, and then replaces the links one by one. */
  renew(pair: Pair): void {
    this.#number++;
    this.link("privkey", pair.key);
    this.link("fullchain", pair.cert);
  }

  link(name: string, text: string): void {
    const target = `${name}${this.#number}.pem`;
    Deno.writeTextFileSync(`${this.#archive}/${target}`, text);
    Deno.symlinkSync(`../../archive/chat.example/${target}`, `${this.live}/new`);
    Deno.renameSync(`${this.live}/new`, `${this.live}/${name}.pem`);
  }
}

Deno.test("lets_encrypt: new clients get a renewed certificate, and open connections are kept", async () => {
  using certificates = makeCertificates();
  const { server, stranger, ca, dir } = certificates;
  const otherCa = Deno.readTextFileSync(`${dir}/unknown-ca.pem`);
  const layout = new Layout(`${dir}/letsencrypt`);
  layout.renew(server);
  await using ctx = new Context({ keepAlive: false });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-net", `--allow-read=${dir}`, "examples/lets_encrypt.ts"]
      .concat("--live", layout.live),
    cwd: new URL("../../", import.meta.url),
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const errors = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const url = /wss:\S+/.exec((await lines.read()).value!)![0].replace("127.0.0.1", "localhost");
    const connect = async (caCerts: string[]) => {
      const conn = ctx.connect(url, { tls: { caCerts }, onError: () => {} });
      await conn.opened;
      conn.send("hello");
      assertEquals(await conn.receive(), "hello");
      return conn;
    };
    const first = await connect([ca]);
    layout.renew(stranger);
    assertMatch((await lines.read()).value!, /serving the new certificate/);
    await connect([otherCa]);
    // An interrupted renewal: the key is new, the certificate isn't.
    layout.link("privkey", server.key);
    let said = "";
    while (!said.includes("Not yet: Cannot set TLS with tls.key")) {
      said += (await errors.read()).value!;
    }
    await connect([otherCa]);
    layout.renew(server);
    assertMatch((await lines.read()).value!, /serving the new certificate/);
    await connect([ca]);
    first.send("still here");
    assertEquals(await first.receive(), "still here");
  } finally {
    child.kill();
    await lines.cancel();
    await errors.cancel();
    await child.status;
  }
});
