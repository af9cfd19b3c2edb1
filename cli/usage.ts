/** Invalid arguments. The error is reported in one line, with a hint to the help. */
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
  1    the connection was lost, or closed with another code than 1000, 1001 or none; a file could
       not be read, or standard output not be written; the benchmark's peer doesn't echo
  2    invalid arguments
  3    no connection: unknown host, refused, timed out, refused by a proxy; for a server, a port
       that is in use
  4    TLS failed, for example because of the certificate
  5    the server refused the handshake, for example with 403
  6    a permission of Deno is missing
  130  interrupted by Ctrl-C (listen and relay exit with 0 then: it is how they end)`;

const CLIENT = `  -H, --header "N: V"     a header of the request; may be repeated
  -s, --subprotocol NAME  a subprotocol to offer; may be repeated
  --auth USER:PASSWORD    Basic authorization
  --proxy URL             http://[user:pass@]host:port or socks5://…; "none" for none
                          (default: the environment's, if --allow-env is given)
  --ca FILE               trust the certificates of this PEM file
  --insecure              accept any certificate
  --compression           offer permessage-deflate
  --timeout SECONDS       limit for DNS, TCP, TLS and handshake together (10); 0: none`;

const OUTBOUND = `  --cert FILE --key FILE  the client's certificate and key
  --unix PATH             connect to a Unix socket; the request has the host and path of the URL`;

const SERVER = "  --cert FILE --key FILE  serve wss: with this certificate and key";

const LINES = "One message is one line: a line end within a message is shown as a space.";

const URLS = "The scheme of a URL defaults to ws://. :8080 is a port of this machine.";

export const HELP = {
  "": `sluice: WebSockets in the terminal, with flow control

Usage:
  sluice connect URL           send lines as messages, and print the messages that arrive
  sluice listen PORT           a server: echo, broadcast, or a command per connection
  sluice bench URL             measure throughput and latency of an echo server
  sluice relay LISTEN URL      relay connections to a server, and show their messages
  sluice help COMMAND          options and examples
  sluice --version

Examples:
  sluice listen 8080
  sluice connect localhost:8080
  sluice bench :8080 --connections 10 --seconds 5

${CODES}`,

  connect: `sluice connect URL: send messages, and print what arrives

Usage: sluice connect URL [options]

On a terminal each line that you type is sent, and each received message is printed after a <.
/ping, /pause, /resume and /close [CODE [REASON]] are commands; Ctrl-D closes.

Otherwise each line of standard input is sent as a message, and each message is printed as a line.
Standard input is read only as fast as the server accepts it, and the server only as fast as
standard output is consumed. At the end of the input the connection is closed, once nothing has
arrived for --linger seconds.
${LINES}
With --json and --null line ends are kept.

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
  --keep-open             keep receiving after the end of the input
  --linger SECONDS        see above (0.3)
  --ping SECONDS          the interval of pings, whose round trips are printed (0); 0: none
  --reconnect             connect again after each loss, with growing delays; --message and --file
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
  -s, --subprotocol NAME  a subprotocol to accept; may be repeated
  --max-size BYTES        the largest message to accept (64 MiB); 0: any
  --compression           agree to permessage-deflate
  -q, --quiet             print only the URL and errors
  --hostname HOST         the address to bind to, if PORT is given without one (127.0.0.1)
  --trust-proxy CIDR      believe X-Forwarded-For from proxies of this network; may be repeated
  --proxy-protocol CIDR   expect the PROXY protocol from this network; may be repeated
${SERVER}

Examples:
  sluice listen 8080 --verbose
  sluice listen 0 --broadcast
  sluice listen 8080 --exec "grep --line-buffered -i error"
  sluice listen 8443 --cert cert.pem --key key.pem

Exit codes: sluice --help`,

  bench: `sluice bench URL: measure throughput and latency of an echo server

Usage: sluice bench URL [options]

Every connection keeps --depth messages in flight, and sends the next one when an echo arrives: this
measures the highest throughput of the server. With --rate messages are sent at fixed times instead,
and latency counts from these times: this measures what users of the server experience, stalls
included.

${URLS}

Options:
  -c, --connections N     (10)
  -d, --depth N           messages in flight per connection (16)
  -r, --rate N            messages a second, all connections together, instead of --depth
  --size BYTES            size of a message (64)
  --seconds N             duration, after a warm-up of a tenth of it (5); Ctrl-C ends the benchmark
                          and prints the figures so far
  --text                  send text messages; default: binary
  --json                  print one object, and no progress
  -q, --quiet             print no progress
${CLIENT}
${OUTBOUND}

Examples:
  sluice bench :8080
  sluice bench :8080 -c 50 --rate 10000 --seconds 30
  sluice bench wss://127.0.0.1:8443 --insecure --size 16384 --json

Exit codes: sluice --help`,

  relay: `sluice relay LISTEN URL: relay connections to a server, and show their messages

Usage: sluice relay [HOST:]PORT URL [options]

For each client a connection to URL is made, with the subprotocols that the client offers. The
client's path and headers are not passed on; the headers of --header are sent for every client. Any
page in a browser can connect to a port of this machine, so pages are refused unless --origin names
their origin.
Both directions have backpressure: a slow reader slows the other side down.

${URLS}

Options:
  -v, --verbose           print a line per message: connection, > from the client or < from the
                          server, and its beginning
  --json                  print an object per event
  --origin ORIGIN         let pages of this origin connect, such as https://example.com; may be
                          repeated; "*" for all
  --max-connections N     pairs of connections at a time (1000); 0: any
  --max-size BYTES        the largest message to relay (64 MiB); 0: any
  -q, --quiet             print only the URL and errors
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
