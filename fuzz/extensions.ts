import { readCompression } from "../src/deflate/compression_options.ts";
import { acceptAnswer, acceptOffer, makeOffer } from "../src/deflate/negotiation.ts";
import { HandshakeError } from "../src/errors.ts";
import {
  type Extension,
  formatExtensions,
  parseExtensions,
} from "../src/handshake/extension_list.ts";
import type { Random } from "./random.ts";
import { finding, same, type Target, toBytes, toText } from "./target.ts";

const PARAMS = [
  "server_no_context_takeover",
  "client_no_context_takeover",
  "server_max_window_bits",
  "client_max_window_bits",
  "other",
];
const VALUES = ["", "=8", "=9", "=15", '="10"', "=16", "=7", "=08", "=", "=true", '="1\\5"', '=""'];

function settings(random: Random) {
  return readCompression({
    windowBits: 9 + random.below(7),
    contextTakeover: random.oneIn(2),
  })!;
}

export const extensions: Target = {
  name: "extensions",
  make(random) {
    const list = Array.from({ length: 1 + random.below(3) }, () => {
      let text = random.oneIn(4) ? "x-other" : "permessage-deflate";
      for (let i = random.below(4); i > 0; i--) {
        text += `${random.pick([";", "; ", " ;\t"])}${random.pick(PARAMS)}${random.pick(VALUES)}`;
      }
      return text;
    });
    const bytes = toBytes(list.join(random.pick([",", ", ", ",,"])));
    return random.oneIn(2) ? bytes : random.mutate(bytes);
  },
  judge(input, random) {
    let list: Extension[] = [];
    try {
      list = parseExtensions(toText(input));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    same(
      parseExtensions(formatExtensions(list)),
      list,
      "what is written is read as something else",
    );
    const server = settings(random), client = settings(random);
    const accepted = acceptOffer(list, server);
    if (accepted !== null) {
      const { serverWindowBits, clientWindowBits } = accepted.agreement;
      for (const bits of [serverWindowBits, clientWindowBits]) {
        if (!(bits >= 8 && bits <= 15)) finding(`agreed on a window of ${bits} bits`);
      }
      if (serverWindowBits === 8) finding("agreed to compress with a window that zlib hasn't");
    }
    try {
      acceptAnswer(list, client);
    } catch (error) {
      if (!(error instanceof HandshakeError)) throw error;
    }
    // Two ends of ours agree on the same parameters, for any settings.
    const answer = acceptOffer([makeOffer(client)], server);
    if (answer === null) finding("declined our own offer");
    same(acceptAnswer([answer!.answer], client)?.agreement, answer!.agreement, "ends disagree");
  },
};
