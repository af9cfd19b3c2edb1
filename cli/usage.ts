/** Arguments that make no sense: told in one line, with where to find help. */
export class UsageError extends Error {
  /** The name of the class. */
  override readonly name = "UsageError";
}

/** The exit codes; what each means is below, once for `--help` of every command. */
export const EXIT = {
  ok: 0,
  lost: 1,
  usage: 2,
  unreachable: 3,
  tls: 4,
  refused: 5,
  permission: 6,
  interrupted: 130,
} as const;

const CODES = `Exit codes:
  0    success; also if the reader of standard output exited (| head)
  1    the connection was lost, or ended with another code than 1000, 1001 or none; a file could
       not be read, or standard output not be written; the benchmark's peer is no echo
  2    invalid arguments
  3    no connection: no such host, refused, timed out, a proxy that doesn't let us through, or,
       for a server, a port that is taken
  4    TLS failed: a bad certificate, say
  5    the server refused the handshake: 403, say
  6    a permission of Deno's is missing
  130  interrupted by Ctrl-C (listen and relay exit with 0 then: it is how they end)`;

const TLS = `  --ca FILE               trust the certificates of this PEM file
  --insecure              accept any certificate`;

const CLIENT = `  -H, --header "N: V"     a header of the request; may be repeated
  -s, --subprotocol NAME  a subprotocol to offer; may be repeated
  --proxy URL             http://[user:pass@]host:port or socks5://…; "none" for none
                          (default: the environment's, if --allow-env is given)
${TLS}
  --compression           offer permessage-deflate
  --timeout SECONDS       for the whole of DNS, TCP, TLS and handshake (10); 0: none`;

const CERTIFICATE = "  --cert FILE --key FILE  serve wss: with this certificate and key";

const LINES = "One message is one line: a line end within a message is shown as a space.";

export const HELP = {
  "": `sluice: WebSockets in the terminal, with flow control

Usage:
  sluice connect URL           send the lines of standard input, print what arrives
  sluice listen PORT           a server: echo, broadcast, or a command per connection
  sluice bench URL             load for an echo server: throughput and latency
  sluice relay LISTEN URL      pass connections on, and show what goes through
  sluice COMMAND --help        options and examples

Examples:
  sluice listen 8080
  sluice connect ws://127.0.0.1:8080
  sluice bench ws://127.0.0.1:8080 --connections 10 --seconds 5

${CODES}`,

  connect:
    `sluice connect URL: send the lines of standard input, print what arrives, a line per message

Usage: sluice connect URL [options]

Standard input is read only as fast as the server accepts it, and the server only as fast as
standard output is consumed. At the end of standard input the connection is closed, once nothing has
arrived for --linger seconds.
${LINES}
With --json it is shown as it is.

Options:
  -b, --binary            send lines as binary messages; print binary messages as they are,
                          without it in hexadecimal
  --json                  print an object per event: open, text, binary (base64), ping, close
  --keep-open             go on receiving after the end of standard input
  --linger SECONDS        see above (0.3)
  --ping SECONDS          ping so often, and print the round trip; 0: never (0)
  --max-size BYTES        the largest message to accept (64 MiB); 0: any
  -q, --quiet             print nothing on standard error but errors
${CLIENT}

Examples:
  sluice connect wss://example.com/feed
  echo hello | sluice connect ws://127.0.0.1:8080
  sluice connect wss://example.com -H "Authorization: Bearer abc" -s graphql-ws --json
  sluice connect ws://127.0.0.1:8080 --ping 1 --keep-open < /dev/null

${CODES}`,

  listen: `sluice listen PORT: a server that echoes, broadcasts, or runs a command per connection

Usage: sluice listen PORT [options]      (PORT 0: any that is free)

Options:
  --echo                  send every message back (default)
  --broadcast             send every message to all others; slow ones miss some
  --exec COMMAND          run a shell command per connection: messages become lines of its input,
                          lines of its output become messages; both with backpressure.
                          ${LINES}
  --origin ORIGIN         let pages of this origin connect, such as https://example.com; may be
                          repeated; "*" for all. Default: all; with --exec none. Programs other
                          than browsers send no origin, and may always connect
  --max-connections N     connections at a time, and so commands (100 with --exec, else any); 0: any
  --json                  print an object per event: listening, open, close
  -s, --subprotocol NAME  a subprotocol that is spoken; may be repeated
  --max-size BYTES        the largest message to accept (64 MiB); 0: any
  --compression           agree to permessage-deflate
  -q, --quiet             print where we listen, and errors
  --hostname HOST         the address to bind to (127.0.0.1)
  --trust-proxy CIDR      believe X-Forwarded-For from proxies of this network; may be repeated
  --proxy-protocol CIDR   expect the PROXY protocol from this network; may be repeated
${CERTIFICATE}

Examples:
  sluice listen 8080
  sluice listen 0 --broadcast
  sluice listen 8080 --exec "grep --line-buffered -i error"
  sluice listen 8443 --cert cert.pem --key key.pem

${CODES}`,

  bench: `sluice bench URL: load for an echo server

Usage: sluice bench URL [options]

Every connection keeps --depth messages in flight and sends the next when one has come back.

Options:
  -c, --connections N     (10)
  -d, --depth N           messages in flight per connection (16)
  --size BYTES            of a message (64)
  --seconds N             to measure, after a tenth of it to warm up (5)
  --text                  send text; without it binary
  --json                  print one object, and no progress
  -q, --quiet             no progress
${CLIENT}

Examples:
  sluice bench ws://127.0.0.1:8080
  sluice bench ws://127.0.0.1:8080 -c 50 -d 1 --seconds 10
  sluice bench wss://127.0.0.1:8443 --insecure --size 16384 --json

${CODES}`,

  relay: `sluice relay LISTEN URL: pass connections on, and show what goes through

Usage: sluice relay [HOST:]PORT URL [options]

Each connection gets one of its own to URL, with the subprotocols that its client offers. The
client's path and headers are not passed on; those of --header are sent for every client. So pages
of other origins are refused, unless --origin names them: any page in a browser can connect to a
port of this machine.
Both directions have backpressure: a slow reader holds the other side back.

Options:
  -v, --verbose           print a line per message: who sent it, type, length, beginning
  --json                  print an object per event
  --origin ORIGIN         let pages of this origin connect, such as https://example.com; may be
                          repeated; "*" for all
  --max-connections N     pairs of connections at a time (1000); 0: any
  --max-size BYTES        the largest message to pass on (64 MiB); 0: any
  -q, --quiet             print where we listen, and errors
${CERTIFICATE}
${CLIENT}

Examples:
  sluice relay 9000 wss://example.com/feed --verbose
  sluice relay 0.0.0.0:9000 ws://127.0.0.1:8080 --compression
  sluice relay 9000 wss://example.com --origin http://localhost:3000 -H "Authorization: Bearer abc"

${CODES}`,
} as const;

/** The commands. */
export type Command = Exclude<keyof typeof HELP, "">;
