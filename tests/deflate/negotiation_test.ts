import { assert, assertEquals, assertThrows } from "@std/assert";
import { type CompressionOptions, readCompression } from "../../src/deflate/compression_options.ts";
import {
  acceptAnswer,
  acceptOffer,
  codecSettings,
  type DeflateAgreement,
  makeOffer,
  readAgreement,
} from "../../src/deflate/negotiation.ts";
import { HandshakeError } from "../../src/errors.ts";
import { formatExtensions, parseExtensions } from "../../src/handshake/extension_list.ts";

function settings(options: CompressionOptions | true = true) {
  return readCompression(options)!;
}

/** The server's answer to offers as text; `null` if all are declined. */
function answer(offers: string, options: CompressionOptions | true = true): string | null {
  const accepted = acceptOffer(parseExtensions(offers), settings(options));
  return accepted && formatExtensions([accepted.answer]);
}

/** The agreement of a client for an answer. */
function accept(text: string, options: CompressionOptions | true = true): DeflateAgreement | null {
  return acceptAnswer(parseExtensions(text), settings(options))?.agreement ?? null;
}

function agreement(server: [boolean, number], client: [boolean, number]): DeflateAgreement {
  return {
    serverNoContextTakeover: server[0],
    serverWindowBits: server[1],
    clientNoContextTakeover: client[0],
    clientWindowBits: client[1],
  };
}

// RFC 7692 7.1 as a server: the offer, the answer, and the server's options if they aren't `true`.
const ANSWERS: [offer: string, answer: string | null, options?: CompressionOptions][] = [
  ["permessage-deflate", "permessage-deflate"],
  ["permessage-deflate; client_max_window_bits", "permessage-deflate"],
  [
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
    { windowBits: 10 },
  ],
  ["permessage-deflate", "permessage-deflate; server_max_window_bits=10", { windowBits: 10 }],
  [
    "permessage-deflate; client_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
    { windowBits: 10 },
  ],
  [
    "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
    { windowBits: 12 },
  ],
  [
    "permessage-deflate; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=10",
  ],
  [
    'permessage-deflate; server_max_window_bits="10"',
    "permessage-deflate; server_max_window_bits=10",
  ],
  [
    "permessage-deflate; client_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=8",
  ],
  // zlib can't deflate with 8 bits, so an offer that requires it of the server can't be accepted.
  ["permessage-deflate; server_max_window_bits=8", null],
  [
    "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=9",
  ],
  [
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover",
  ],
  [
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; client_no_context_takeover",
  ],
  [
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    { contextTakeover: false },
  ],
  // The order of the parameters is free, the order of the offers is the client's preference.
  [
    "permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=14",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=14",
  ],
  [
    "permessage-deflate; server_no_context_takeover, permessage-deflate",
    "permessage-deflate; server_no_context_takeover",
  ],
  ["x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"],
  ["permessage-bzip2; server_max_window_bits=8, permessage-deflate", "permessage-deflate"],
  ["x-webkit-deflate-frame", null],
  // RFC 7692 7.1 requires declining undefined parameters, repeated ones, and invalid values.
  ["permessage-deflate; unknown", null],
  ["permessage-deflate; unknown=1, permessage-deflate", "permessage-deflate"],
  ["permessage-deflate; Server_No_Context_Takeover", null],
  ["permessage-deflate; server_no_context_takeover; server_no_context_takeover", null],
  ["permessage-deflate; client_no_context_takeover; client_no_context_takeover", null],
  ["permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", null],
  ["permessage-deflate; client_max_window_bits; client_max_window_bits=9", null],
  ["permessage-deflate; server_no_context_takeover=1", null],
  ["permessage-deflate; server_no_context_takeover=true", null],
  ["permessage-deflate; client_no_context_takeover=1", null],
  ["permessage-deflate; server_max_window_bits", null],
  ["permessage-deflate; server_max_window_bits=7", null],
  ["permessage-deflate; server_max_window_bits=16", null],
  ["permessage-deflate; server_max_window_bits=09", null],
  ["permessage-deflate; server_max_window_bits=+9", null],
  ["permessage-deflate; server_max_window_bits=1e1", null],
  ["permessage-deflate; server_max_window_bits=ten", null],
  ["permessage-deflate; client_max_window_bits=7", null],
  ["permessage-deflate; client_max_window_bits=16", null],
  ["permessage-deflate; client_max_window_bits=015", null],
  ["permessage-deflate; client_max_window_bits=0", null],
];

for (const [offer, expected, options] of ANSWERS) {
  const by = options === undefined ? "" : ` by a server with ${JSON.stringify(options)}`;
  Deno.test(`offer ${offer} is ${expected === null ? "declined" : `answered ${expected}`}${by}`, () => {
    assertEquals(answer(offer, options), expected);
  });
}

// The offers of the Autobahn suite's client by section, and the answers of a server with default options:
// (requestNoContextTakeover, requestMaxWindowBits).
const ACCEPT = "client_no_context_takeover; client_max_window_bits";
const AUTOBAHN: [string, string, DeflateAgreement | null][] = [
  ["12.x", `permessage-deflate; ${ACCEPT}`, agreement([false, 15], [true, 15])],
  ["13.1: (false, 0)", `permessage-deflate; ${ACCEPT}`, agreement([false, 15], [true, 15])],
  [
    "13.2: (true, 0)",
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover`,
    agreement([true, 15], [true, 15]),
  ],
  [
    "13.3: (false, 9)",
    `permessage-deflate; ${ACCEPT}; server_max_window_bits=9`,
    agreement([false, 9], [true, 15]),
  ],
  [
    "13.3 as it once was: (false, 8)",
    `permessage-deflate; ${ACCEPT}; server_max_window_bits=8`,
    null,
  ],
  [
    "13.4: (false, 15)",
    `permessage-deflate; ${ACCEPT}; server_max_window_bits=15`,
    agreement([false, 15], [true, 15]),
  ],
  [
    "13.5: (true, 9)",
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=9`,
    agreement([true, 9], [true, 15]),
  ],
  [
    "13.6: (true, 15)",
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=15`,
    agreement([true, 15], [true, 15]),
  ],
  [
    "13.7: (true, 9), (true, 0), (false, 0)",
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=9, ` +
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover, permessage-deflate; ${ACCEPT}`,
    agreement([true, 9], [true, 15]),
  ],
  [
    "13.7 as it once was: (true, 8), (true, 0), (false, 0)",
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=8, ` +
    `permessage-deflate; ${ACCEPT}; server_no_context_takeover, permessage-deflate; ${ACCEPT}`,
    agreement([true, 15], [true, 15]),
  ],
];

for (const [number, offers, expected] of AUTOBAHN) {
  Deno.test(`Autobahn ${number}`, () => {
    const accepted = acceptOffer(parseExtensions(offers), settings());
    assertEquals(accepted?.agreement ?? null, expected);
  });
}

Deno.test("a client offers the parameters of its options", () => {
  const offer = (options: CompressionOptions | true) =>
    formatExtensions([makeOffer(settings(options))]);
  assertEquals(offer(true), "permessage-deflate; client_max_window_bits");
  assertEquals(
    offer({ windowBits: 9 }),
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
  );
  assertEquals(
    offer({ contextTakeover: false }),
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
  );
});

Deno.test("a client accepts answers that honour its offer", () => {
  assertEquals(accept("permessage-deflate"), agreement([false, 15], [false, 15]));
  assertEquals(accept(""), null);
  assertEquals(accept("x-other; server_max_window_bits=99"), null);
  assertEquals(
    accept("permessage-deflate; server_no_context_takeover; server_max_window_bits=8"),
    agreement([true, 8], [false, 15]),
  );
  assertEquals(
    accept("permessage-deflate; client_no_context_takeover; client_max_window_bits=8"),
    agreement([false, 15], [true, 8]),
  );
  const small = { windowBits: 10, contextTakeover: false };
  assertEquals(
    accept("permessage-deflate; server_no_context_takeover; server_max_window_bits=10", small),
    agreement([true, 10], [false, 15]),
  );
  // The client has to support the most that the server has left open.
  const lax = accept("permessage-deflate", small)!;
  assertEquals(lax, agreement([false, 15], [false, 15]));
  assertEquals(codecSettings(lax, "client", settings(small)), {
    deflate: { windowBits: 10, takeover: false, memLevel: 8, level: 4 },
    inflate: { windowBits: 15, takeover: true },
  });
  assertEquals(
    accept("permessage-deflate; client_no_context_takeover; server_max_window_bits=9", small),
    agreement([false, 9], [true, 15]),
  );
});

const REFUSED: [answer: string, options?: CompressionOptions][] = [
  ["permessage-deflate; unknown"],
  ["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
  ["permessage-deflate; client_no_context_takeover=1"],
  ["permessage-deflate; server_max_window_bits"],
  ["permessage-deflate; server_max_window_bits=16"],
  ["permessage-deflate; client_max_window_bits"],
  ["permessage-deflate; client_max_window_bits=7"],
  ["permessage-deflate; client_max_window_bits=010"],
  ["permessage-deflate, permessage-deflate"],
  ["permessage-deflate, x-other, permessage-deflate; server_no_context_takeover"],
  // Answers that exceed the offer.
  ["permessage-deflate; server_max_window_bits=11", { windowBits: 10 }],
  [
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11",
    { windowBits: 10 },
  ],
];

for (const [text, options] of REFUSED) {
  const by = options === undefined ? "" : ` by a client with ${JSON.stringify(options)}`;
  Deno.test(`answer ${text} is refused${by}`, () => {
    assertThrows(() => accept(text, options), HandshakeError);
  });
}

Deno.test("every client's offer is accepted by every server, and the answer by the client", () => {
  for (const client of combinations()) {
    for (const server of combinations()) {
      const accepted = acceptOffer([makeOffer(client)], server)!;
      assertEquals(acceptAnswer([accepted.answer], client)?.agreement, accepted.agreement);
      assertEquals(readAgreement([accepted.answer]), accepted.agreement);
      const ours = codecSettings(accepted.agreement, "client", client);
      const theirs = codecSettings(accepted.agreement, "server", server);
      for (const [sender, receiver] of [[ours, theirs], [theirs, ours]]) {
        const deflate = sender.deflate!;
        assert(deflate.windowBits <= receiver.inflate.windowBits);
        assert(receiver.inflate.takeover || !deflate.takeover);
        assert(deflate.windowBits <= Math.min(client.windowBits, server.windowBits));
      }
    }
  }
});

function combinations() {
  const all = [];
  for (const contextTakeover of [true, false]) {
    for (let windowBits = 9; windowBits <= 15; windowBits++) {
      all.push(settings({ contextTakeover, windowBits }));
    }
  }
  return all;
}

Deno.test("a client that is limited to 8 bits sends uncompressed, and still inflates", () => {
  const eight = agreement([false, 15], [false, 8]);
  assertEquals(codecSettings(eight, "client", settings()), {
    deflate: null,
    inflate: { windowBits: 15, takeover: true },
  });
  assertEquals(codecSettings(eight, "server", settings()).inflate, {
    windowBits: 9,
    takeover: true,
  });
});

Deno.test("the agreement of a foreign handshake is parsed", () => {
  assertEquals(readAgreement(parseExtensions("x-other")), null);
  assertEquals(
    readAgreement(parseExtensions("x-other, permessage-deflate; client_max_window_bits=9")),
    agreement([false, 15], [false, 9]),
  );
  assertThrows(() => readAgreement(parseExtensions("permessage-deflate; x")), TypeError);
});

Deno.test("the option has defaults, and invalid values are refused", () => {
  assertEquals(readCompression(undefined), null);
  assertEquals(readCompression(false), null);
  const defaults = {
    threshold: 1024,
    contextTakeover: true,
    windowBits: 15,
    memLevel: 8,
    level: 4,
  };
  assertEquals(readCompression(true), defaults);
  assertEquals(readCompression({}), defaults);
  assertEquals(readCompression({ threshold: 0, level: 0 }), {
    ...defaults,
    threshold: 0,
    level: 0,
  });
  assertEquals(readCompression({ threshold: Infinity })!.threshold, Infinity);
  for (
    const wrong of [
      { windowBits: 8 },
      { windowBits: 16 },
      { windowBits: 9.5 },
      { memLevel: 0 },
      { memLevel: 10 },
      { level: -1 },
      { level: 10 },
      { threshold: -1 },
      { threshold: NaN },
    ]
  ) assertThrows(() => readCompression(wrong), RangeError);
  const types: unknown[] = ["yes", 1, { windowBits: "9" }, { contextTakeover: 1 }, { level: null }];
  for (const wrong of types) {
    assertThrows(() => readCompression(wrong as CompressionOptions), TypeError);
  }
});
