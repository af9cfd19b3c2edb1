/** Invalid arguments, reported in one line with a hint to the help. */
export class UsageError extends Error {
  /** The name of the class. */
  override readonly name = "UsageError";
}

/** The exit codes; their meanings are in the help below. */
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
       not be read, or standard output not be written; the benchmark's peer doesn't echo
  2    invalid arguments
  3    no connection: no such host, refused, timed out, a proxy that refuses, or,
       for a server, a port that is taken
  4    TLS failed: a bad certificate, say
  5    the server refused the handshake: 403, say
  6    a permission of Deno's is missing
  130  interrupted by Ctrl-C (listen and relay exit with 0 then: it is how they end)`;

const CLIENT = `  -H, --header "N: V"     a header of the request; may be repeated
  -s, --subprotocol NAME  a subprotocol to offer; may be repeated
  --auth USER:PASSWORD    Basic authorization
  --proxy URL             http://[user:pass@]host:port or socks5://…; "none" for none
                          (default: the environment's, if --allow-env is given)
  --ca FILE               trust the certificates of this PEM file
  --insecure              accept any certificate
  --compression           offer permessage-deflate
  --timeout SECONDS       for the whole of DNS, TCP, TLS and handshake (10); 0: none`;

const OUTBOUND = `  --cert FILE --key FILE  show this certificate to the server
  --unix PATH             connect to a Unix socket; the URL has the host and path that are sent`;

const SERVER = "  --cert FILE --key FILE  serve wss: with this certificate and key";

const LINES = "One message is one line: a line end within a message is shown as a space.";

const URLS = "A URL without a scheme is ws://, and :8080 a port of this machine.";

export const HELP = {
  "": `sluice: WebSockets in the terminal, with flow control

Usage:
  sluice connect URL           a conversation in the terminal; or lines in, lines out
  sluice listen PORT           a server: echo, broadcast, or a command per connection
  sluice bench URL             load for an echo server: throughput and latency
  sluice relay LISTEN URL      pass connections on, and show what goes through
  sluice help COMMAND          options and examples
  sluice --version

Examples:
  sluice listen 8080
  sluice connect localhost:8080
  sluice bench :8080 --connections 10 --seconds 5

${CODES}`,

  connect: `sluice connect URL: send messages, and print what arrives

Usage: sluice connect URL [options]

On a terminal it is a conversation: what is typed is sent, what arrives has a < in front. /ping,
/pause, /resume and /close [CODE [REASON]] are commands; Ctrl-D closes.

Otherwise each line of standard input is a message, and each message a line of standard output.
Standard input is read only as fast as the server accepts it, and the server only as fast as
standard output is consumed. At the end of the input the connection is closed, once nothing has
arrived for --linger seconds.
${LINES}
With --json it is shown as it is; with --null it stays.

${URLS}

Options:
  -m, --message TEXT      send this instead of standard input; may be repeated
  --file FILE             send a file as one message, as fast as the server accepts it
  -b, --binary            send binary messages; print binary messages as they are
                          (default: in hexadecimal)
  -0, --null              messages end with a NUL byte instead of a line end, in and out
  -1, --one               end after the first message that arrives
  --json                  print an object per event: open, text, binary (base64), ping, close,
                          retry, refused, error
  --keep-open             go on receiving after the end of the input
  --linger SECONDS        see above (0.3)
  --ping SECONDS          ping so often, and print the round trip; 0: never (0)
  --reconnect             connect again after each loss, with a growing wait; --message and --file
                          are sent each time
  --show-headers          print the headers of the server's answer
  --max-size BYTES        the largest message to accept (64 MiB); 0: any
  -q, --quiet             print nothing on standard error but errors
${CLIENT}
${OUTBOUND}

Examples:
  sluice connect wss://example.com/feed
  echo hello | sluice connect localhost:8080
  sluice connect :8080 -m '{"subscribe":"prices"}' -1
  sluice connect :8080 -m '{"subscribe":"prices"}' --keep-open --reconnect --json | jq .data
  sluice connect wss://example.com -H "Authorization: Bearer abc" -s graphql-ws

Exit codes: sluice --help`,

  listen: `sluice listen PORT: a server that echoes, broadcasts, or runs a command per connection

Usage: sluice listen [HOST:]PORT [options]      (PORT 0: any that is free)

Options:
  --echo                  send every message back (default)
  --broadcast             send every message to all others; slow ones miss some
  --exec COMMAND          run a shell command per connection: messages become lines of its input,
                          lines of its output become messages; both with backpressure.
                          ${LINES}
  -v, --verbose           print a line per message: from which connection, and its beginning
  --origin ORIGIN         let pages of this origin connect, such as https://example.com; may be
                          repeated; "*" for all. Default: all; with --exec none. Programs other
                          than browsers send no origin, and may always connect
  --max-connections N     connections at a time, and so commands (100 with --exec, else any); 0: any
  --json                  print an object per event: listening, open, close, error; with --verbose
                          text and binary
  -s, --subprotocol NAME  a subprotocol that is spoken; may be repeated
  --max-size BYTES        the largest message to accept (64 MiB); 0: any
  --compression           agree to permessage-deflate
  -q, --quiet             print only where it listens, and errors
  --hostname HOST         the address to bind to, if none stands before the port (127.0.0.1)
  --trust-proxy CIDR      believe X-Forwarded-For from proxies of this network; may be repeated
  --proxy-protocol CIDR   expect the PROXY protocol from this network; may be repeated
${SERVER}

Examples:
  sluice listen 8080 --verbose
  sluice listen 0 --broadcast
  sluice listen 8080 --exec "grep --line-buffered -i error"
  sluice listen 8443 --cert cert.pem --key key.pem

Exit codes: sluice --help`,

  bench: `sluice bench URL: load for an echo server

Usage: sluice bench URL [options]

Every connection keeps --depth messages in flight and sends the next when one has come back: that
finds the most that a server can do. With --rate messages are sent at their time instead, whatever
has come back, and latency counts from that time: that shows what users of a server see, stalls
included.

${URLS}

Options:
  -c, --connections N     (10)
  -d, --depth N           messages in flight per connection (16)
  -r, --rate N            messages a second, all connections together, instead of --depth
  --size BYTES            of a message (64)
  --seconds N             to measure, after a tenth of it to warm up (5); Ctrl-C ends it, with the
                          figures so far
  --text                  send text; without it binary
  --json                  print one object, and no progress
  -q, --quiet             no progress
${CLIENT}
${OUTBOUND}

Examples:
  sluice bench :8080
  sluice bench :8080 -c 50 --rate 10000 --seconds 30
  sluice bench wss://127.0.0.1:8443 --insecure --size 16384 --json

Exit codes: sluice --help`,

  relay: `sluice relay LISTEN URL: pass connections on, and show what goes through

Usage: sluice relay [HOST:]PORT URL [options]

Each connection gets one of its own to URL, with the subprotocols that its client offers. The
client's path and headers are not passed on; those of --header are sent for every client. So pages
of other origins are refused, unless --origin names them: any page in a browser can connect to a
port of this machine.
Both directions have backpressure: a slow reader holds the other side back.

${URLS}

Options:
  -v, --verbose           print a line per message: connection, > from the client or < from the
                          server, and its beginning
  --json                  print an object per event
  --origin ORIGIN         let pages of this origin connect, such as https://example.com; may be
                          repeated; "*" for all
  --max-connections N     pairs of connections at a time (1000); 0: any
  --max-size BYTES        the largest message to pass on (64 MiB); 0: any
  -q, --quiet             print only where it listens, and errors
${SERVER}
${CLIENT}

Examples:
  sluice relay 9000 wss://example.com/feed --verbose
  sluice relay 0.0.0.0:9000 localhost:8080 --compression
  sluice relay 9000 wss://example.com --origin http://localhost:3000 -H "Authorization: Bearer abc"

Exit codes: sluice --help`,
} as const;

/** The commands. */
export type Command = Exclude<keyof typeof HELP, "">;
