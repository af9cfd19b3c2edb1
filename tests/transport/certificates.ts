/** Certificates for the tests of one file, made with `openssl` in a directory of their own. */

/** A certificate and its private key, as PEM. */
export interface Pair {
  cert: string;
  key: string;
}

/** The result of {@linkcode makeCertificates}. */
export interface Certificates extends Disposable {
  readonly dir: string;
  /** The authority that has signed all but `stranger` and `strangeClient`. */
  readonly ca: string;
  /** For `localhost`, `127.0.0.1` and `::1`. */
  readonly server: Pair;
  readonly expired: Pair;
  /** For `elsewhere.example`. */
  readonly elsewhere: Pair;
  /** With the common name `localhost` and no alternative name. */
  readonly nameless: Pair;
  /** For `*.wild.example`, `f*.part.example`, and with a URI and a name that look like other names. */
  readonly tricky: Pair;
  /** For `localhost`, signed by another authority. */
  readonly stranger: Pair;
  /** A client named alice. */
  readonly client: Pair;
  readonly expiredClient: Pair;
  /** A client certificate signed by the other authority. */
  readonly strangeClient: Pair;
}

function openssl(dir: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command("openssl", {
    args,
    cwd: dir,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

function authority(dir: string, name: string): void {
  openssl(
    dir,
    ...["req", "-x509", ...KEY, "-keyout", `${name}.key`, "-out", `${name}.pem`],
    ...["-days", "30", "-subj", `/CN=${name}`],
  );
}

function leaf(
  dir: string,
  name: string,
  options: { ca?: string; cn: string; extensions: string; days?: string },
): Pair {
  openssl(
    dir,
    ...[
      "req",
      ...KEY,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${options.cn}`,
    ],
  );
  Deno.writeTextFileSync(
    `${dir}/${name}.ext`,
    `basicConstraints=CA:FALSE\n${options.extensions}\n`,
  );
  const ca = options.ca ?? "ca";
  openssl(
    dir,
    ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${ca}.pem`, "-CAkey", `${ca}.key`],
    ...["-CAcreateserial", "-days", options.days ?? "30"],
    ...["-extfile", `${name}.ext`, "-out", `${name}.pem`],
  );
  return {
    cert: Deno.readTextFileSync(`${dir}/${name}.pem`),
    key: Deno.readTextFileSync(`${dir}/${name}.key`),
  };
}

const TRICKY = `subjectAltName=@names
[names]
DNS.1=*.wild.example
DNS.2=f*.part.example
DNS.3="a, DNS:localhost"
DNS.4=127.0.0.2
URI.1="http://x/, DNS:localhost"
IP.1=127.0.0.1
IP.2=::1`;

/** Makes both authorities and their certificates. */
export function makeCertificates(): Certificates {
  const dir = Deno.makeTempDirSync({ prefix: "sluice-certificates-" });
  authority(dir, "ca");
  authority(dir, "unknown-ca");
  const here = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1";
  const client = "extendedKeyUsage=clientAuth";
  return {
    dir,
    ca: Deno.readTextFileSync(`${dir}/ca.pem`),
    server: leaf(dir, "server", { cn: "localhost", extensions: here }),
    expired: leaf(dir, "expired", { cn: "localhost", extensions: here, days: "-1" }),
    elsewhere: leaf(dir, "elsewhere", {
      cn: "elsewhere.example",
      extensions: "subjectAltName=DNS:elsewhere.example",
    }),
    nameless: leaf(dir, "nameless", { cn: "localhost", extensions: "keyUsage=digitalSignature" }),
    tricky: leaf(dir, "tricky", { cn: "localhost", extensions: TRICKY }),
    stranger: leaf(dir, "stranger", { cn: "localhost", extensions: here, ca: "unknown-ca" }),
    client: leaf(dir, "client", { cn: "alice", extensions: client }),
    expiredClient: leaf(dir, "expired-client", { cn: "alice", extensions: client, days: "-1" }),
    strangeClient: leaf(dir, "strange-client", {
      cn: "mallory",
      extensions: client,
      ca: "unknown-ca",
    }),
    [Symbol.dispose]() {
      Deno.removeSync(dir, { recursive: true });
    },
  };
}
