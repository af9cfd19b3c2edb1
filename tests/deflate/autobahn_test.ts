import { assertEquals } from "@std/assert";
import { readCompression } from "../../src/deflate/compression_options.ts";
import { Deflater } from "../../src/deflate/deflater.ts";
import { codecSettings, readAgreement } from "../../src/deflate/negotiation.ts";
import { parseExtensions } from "../../src/handshake/extension_list.ts";
import { assertBytes, deflateInTurns, inflater, json, noise, push } from "./helpers.ts";
import { join, utf8 } from "../support/bytes.ts";
import { frameOf } from "../support/frames.ts";
import { RAW_PAIRS } from "../support/pair.ts";
import type { RawPeer } from "../support/raw_peer.ts";

// The cases of sections 12 and 13 of the Autobahn suite, by their numbers. The kinds of data, the sizes, the fragments, the offers
// and the answers are those of the suite; the data are made here. Each case runs in both roles, over HTTP/1.1 and HTTP/2. The
// suite sends 1,000 messages per case; this test sends about a megabyte, or 1,000 messages with AUTOBAHN_FULL=1.

const FULL = Deno.env.get("AUTOBAHN_FULL") === "1";

/** The lengths of messages and of their fragments (0 for none): cases 1 to 18 of each subsection. */
const CASES: [length: number, fragment: number][] = [
  ...[16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072]
    .map((length): [number, number] => [length, 0]),
  ...[8192, 16384, 32768, 65536, 131072].map((length): [number, number] => [length, 256]),
  ...[1024, 4096, 32768].map((fragment): [number, number] => [131072, fragment]),
];

interface Data {
  what: string;
  binary: boolean;
  bytes: Uint8Array;
}

function lines(make: (i: number, random: Uint8Array) => string): Uint8Array {
  const random = noise(200_000, 9);
  const parts: string[] = [];
  let length = 0;
  for (let i = 0; length < 200_000; i++) {
    parts.push(make(i, random.subarray(i * 8 % 190_000)));
    length += parts[i].length;
  }
  return utf8(parts.join(""));
}

const WORDS =
  "habe nun ach Philosophie Juristerei und Medizin leider auch Theologie durchaus studiert " +
  "mit heißem Bemühn da steh ich armer Tor bin so klug als wie zuvor heiße Magister Doktor gar";

const WORD = WORDS.split(" ");
const JSON_DATA: Data = { what: "JSON", binary: false, bytes: json(200_000) };

const DATA: Data[] = [
  JSON_DATA,
  {
    what: "a bitmap",
    binary: true,
    bytes: Uint8Array.from(noise(263_222, 3), (byte, i) => (i >> 9) + (i & 511) / 4 + (byte & 7)),
  },
  {
    what: "a text, in binary frames",
    // A slice may end within a character.
    binary: true,
    bytes: lines((_i, r) =>
      `${[...r.subarray(0, 7)].map((n) => WORD[n % WORD.length]).join(" ")},\n`
    ),
  },
  {
    what: "HTML",
    binary: false,
    bytes: lines((i, r) =>
      `<tr class="row-${i & 1}"><td>${i}</td><td><a href="/item/${r[0]}">${r[1]}</a></td></tr>\n`
    ),
  },
  {
    what: "a PDF",
    binary: true,
    bytes: join([utf8("%PDF-1.4\n1 0 obj <</Type /Page>> stream\n"), noise(300_000, 5)]),
  },
];

const ACCEPT = "client_no_context_takeover; client_max_window_bits";

/** The offer of the suite's client, and the answer of its server to the library's offer. */
const AGREEMENTS: Record<string, { offer: string; answer: string }> = {
  "12": { offer: `permessage-deflate; ${ACCEPT}`, answer: "permessage-deflate" },
  "13.1": { offer: `permessage-deflate; ${ACCEPT}`, answer: "permessage-deflate" },
  "13.2": {
    offer: `permessage-deflate; ${ACCEPT}; server_no_context_takeover`,
    answer: "permessage-deflate; client_no_context_takeover",
  },
  "13.3": {
    offer: `permessage-deflate; ${ACCEPT}; server_max_window_bits=9`,
    answer: "permessage-deflate; client_max_window_bits=9",
  },
  "13.4": {
    offer: `permessage-deflate; ${ACCEPT}; server_max_window_bits=15`,
    answer: "permessage-deflate; client_max_window_bits=15",
  },
  "13.5": {
    offer: `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=9`,
    answer: "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
  },
  "13.6": {
    offer: `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=15`,
    answer: "permessage-deflate; client_no_context_takeover; client_max_window_bits=15",
  },
  "13.7": {
    offer: `permessage-deflate; ${ACCEPT}; server_no_context_takeover; server_max_window_bits=9, ` +
      `permessage-deflate; ${ACCEPT}; server_no_context_takeover, permessage-deflate; ${ACCEPT}`,
    answer: "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
  },
};

function section(number: string, data: Data, agreement: { offer: string; answer: string }): void {
  for (const [ours, open] of Object.entries(RAW_PAIRS)) {
    Deno.test(`Autobahn ${number}: ${data.what}, as a ${ours}`, async (t) => {
      const extensions = ours.startsWith("client") ? agreement.answer : agreement.offer;
      for (let i = 0; i < CASES.length; i++) {
        const [length, fragment] = CASES[i];
        const cut = fragment === 0 ? "" : `, in fragments of ${fragment}`;
        await t.step(`${number}.${i + 1}: messages of ${length} bytes${cut}`, async () => {
          await using pair = await open({
            compression: { threshold: 0 },
            onMessage: (conn, data) => void conn.send(data),
          }, { extensions });
          const { conn, raw } = pair;
          const agreed = raw.role === "server" ? extensions : raw.extensions!;
          await play(raw, agreed, raw.role, data, length, fragment);
          await conn.closed;
        });
      }
    });
  }
}

/** The suite's part of a case: send, wait for the echo, compare. */
async function play(
  peer: RawPeer,
  extensions: string,
  role: "client" | "server",
  { binary, bytes }: Data,
  length: number,
  fragment: number,
): Promise<void> {
  const agreement = readAgreement(parseExtensions(extensions))!;
  const settings = codecSettings(agreement, role, readCompression(true)!);
  const deflater = new Deflater(settings.deflate!);
  const { inflater: codec, got } = inflater(settings.inflate);
  const count = FULL ? 1000 : Math.max(3, Math.min(1000, Math.floor((1 << 20) / length)));
  const opcode = binary ? 2 : 1;
  for (let i = 0, at = 0; i < count; i++, at = (at + length) % bytes.length) {
    const end = at + length;
    const message = end <= bytes.length
      ? bytes.subarray(at, end)
      : join([bytes.subarray(at), bytes.subarray(0, end - bytes.length)]);
    const packed = await deflateInTurns(deflater, message);
    const frames: Uint8Array[] = [];
    const size = fragment === 0 ? packed.length : fragment;
    for (let from = 0; from < packed.length; from += size) {
      const fin = from + size >= packed.length ? 0x80 : 0;
      frames.push(
        frameOf(fin | (from === 0 ? 0x40 | opcode : 0), packed.subarray(from, from + size)),
      );
    }
    // Both directions at the same time, or the pipe could fill up.
    const [, echo] = await Promise.all([peer.send(...frames), peer.frame()]);
    assertEquals([echo!.fin, echo!.rsv, echo!.opcode], [true, 4, opcode]);
    await push(codec, echo!.payload);
    assertBytes(got.messages.pop(), message);
  }
  deflater.close();
  codec.close();
  await peer.send(frameOf(0x88, Uint8Array.of(0x03, 0xe8)));
  assertEquals(await peer.closeCode(), 1000);
  peer.close();
}

DATA.forEach((data, i) => section(`12.${i + 1}`, data, AGREEMENTS["12"]));
for (let i = 1; i <= 7; i++) section(`13.${i}`, JSON_DATA, AGREEMENTS[`13.${i}`]);
