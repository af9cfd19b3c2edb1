import { constants, deflateRawSync } from "node:zlib";
import { MessageInflater } from "../src/deflate/message_inflater.ts";
import { acceptOffer } from "../src/deflate/negotiation.ts";
import { readCompression } from "../src/deflate/compression_options.ts";
import { makeRequest } from "../src/engine/handshake_result.ts";
import { BodyFramer } from "../src/handshake/body_framer.ts";
import { parseExtensions } from "../src/handshake/extension_list.ts";
import { forwardedPeer } from "../src/handshake/forwarded.ts";
import { MAX_FIELDS, MOST_FIELDS } from "../src/handshake/fields.ts";
import { HeadParser } from "../src/handshake/head_parser.ts";
import { RefusalBody } from "../src/handshake/refusal_body.ts";
import { parseRequestHead } from "../src/handshake/request_head.ts";
import { parseResponseHead } from "../src/handshake/response_head.ts";
import { listContains, parseProtocols } from "../src/handshake/token_list.ts";
import { decodeClosePayload } from "../src/protocol/close_code.ts";
import { MessageAssembler } from "../src/protocol/message_assembler.ts";
import { sourceOf } from "../src/protocol/source.ts";
import { repeat, utf8 } from "../tests/support/bytes.ts";
import { closePayload, CONTINUATION, frame, masked, PING, TEXT } from "../tests/support/frames.ts";

/** Makes an input of about `size` and returns the function to time. */
export type Shape = (size: number) => () => unknown;

const SINK = { message() {}, control() {}, inflated() {} };

/** Decodes bytes in pieces of a given size. The payloads are unmasked in place, so that it needs a copy. */
function decodeAll(bytes: Uint8Array, piece: number): void {
  const { frames } = new MessageAssembler("server", SINK, 0, false, 0);
  const source = sourceOf(bytes.slice());
  for (let at = 0; at < bytes.length; at += piece) {
    frames.decode(source, at, Math.min(at + piece, bytes.length));
  }
}

/** One message of many fragments, without its end. */
function fragments(payload: string): Shape {
  const start = masked(frame(TEXT, "", { fin: false }));
  const part = masked(frame(CONTINUATION, payload, { fin: false }));
  return (size) => {
    const bytes = repeat(part, size / part.length),
      all = new Uint8Array(start.length + bytes.length);
    all.set(start);
    all.set(bytes, start.length);
    return () => decodeAll(all, 65536);
  };
}

/** Many frames of one kind. */
function frames(opcode: number, payload: string | Uint8Array): Shape {
  const one = masked(frame(opcode, payload));
  return (size) => {
    const bytes = repeat(one, size / one.length);
    return () => decodeAll(bytes, 65536);
  };
}

const UPGRADE = "GET / HTTP/1.1\r\nHost: a\r\n";
const ANSWER = "HTTP/1.1 101 Switching Protocols\r\n";

/** Fields of a head, as many as make `size` bytes; each with a name of its own, or all with the same. */
function fields(size: number, name: (i: number) => string): string {
  let text = "";
  for (let i = 0; text.length < size; i++) text += `${name(i)}: v\r\n`;
  return text;
}

const DIFFERENT = (i: number) => `x-${i.toString(36)}`;
const SAME = () => "x-same";

/** Reads a request and looks for the fields that a server looks for. */
function requestOf(name: (i: number) => string): Shape {
  return (size) => {
    const text = `${UPGRADE}${fields(size, name)}\r\n`;
    return () => {
      const head = parseRequestHead(text, Infinity);
      for (const wanted of ["x-same", "upgrade", "sec-websocket-key", "sec-websocket-protocol"]) {
        head.fields.get(wanted);
        head.fields.count(wanted);
      }
    };
  };
}

/** Heads of the most fields that are allowed, one after the other: the platform's classes are slow with many. */
function heads(
  most: number,
  start: string,
  name: (i: number) => string,
  read: (text: string) => unknown,
): Shape {
  return (size) => {
    const texts: string[] = [];
    for (let left = size; left > 0; left -= texts.at(-1)!.length) {
      let text = start;
      for (let i = 1; i < most && text.length < left; i++) text += `${name(i)}: v\r\n`;
      texts.push(`${text}\r\n`);
    }
    return () => texts.forEach(read);
  };
}

function chunks(size: number): Uint8Array {
  return utf8("1\r\nx\r\n".repeat(size / 6));
}

/** Feeds compressed messages of a given size; a piece that has to wait for its turn holds back the next one. */
function inflate(make: (size: number) => { messages: Uint8Array[]; pieces: number }): Shape {
  return (size) => {
    const { messages, pieces } = make(size);
    return async () => {
      const settings = { windowBits: 15, takeover: true, maxMessageSize: 0 };
      const inflater = new MessageInflater(settings, { inflatedMessage() {} });
      for (const message of messages) {
        for (let at = 0; at < message.length; at += pieces) {
          const end = Math.min(at + pieces, message.length);
          let taken: (error: unknown) => void = () => {};
          const later = new Promise<unknown>((resolve) => taken = resolve);
          if (!inflater.push(false, message, at, end, end === message.length, taken)) await later;
        }
      }
      inflater.close();
    };
  };
}

/** A message of one byte, compressed; in a block of its own that is the last one if `final`. */
function packed(final: boolean): Uint8Array {
  const bytes = new Uint8Array(deflateRawSync(Uint8Array.of(7), {
    finishFlush: final ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
  }));
  return final ? bytes : bytes.slice(0, -4);
}

/** The parsers of handshake heads. */
export const HEADS: Record<string, Shape> = {
  "a head that drips": (size) => {
    const bytes = utf8(`${UPGRADE}${"X: y\r\n".repeat(size / 24)}`);
    return () => {
      const parser = new HeadParser(bytes.length + 1);
      for (let at = 0; at < bytes.length; at++) parser.push(bytes.subarray(at, at + 1));
    };
  },
  "a head of line ends": (size) => {
    const bytes = utf8(`${UPGRADE}X: y${" ".repeat(size)}`);
    return () => {
      const parser = new HeadParser(bytes.length + 1);
      for (let at = 0; at < bytes.length; at += 512) parser.push(bytes.subarray(at, at + 512));
    };
  },
  "many fields of a request": requestOf(DIFFERENT),
  "one field of a request, repeated": requestOf(SAME),
  "requests of many fields": heads(
    MAX_FIELDS,
    UPGRADE,
    DIFFERENT,
    (text) => makeRequest(text, false),
  ),
  "requests of one field, repeated": heads(
    MAX_FIELDS,
    UPGRADE,
    SAME,
    (text) => makeRequest(text, false),
  ),
  "answers of many fields": heads(
    MAX_FIELDS,
    ANSWER,
    DIFFERENT,
    (text) => parseResponseHead(text).fields.get("x-none"),
  ),
  "a list of extensions": (size) => {
    const list = "a; b=c, ".repeat(size / 8);
    return () => parseExtensions(list);
  },
  "offers of compression": (size) => {
    const list = "permessage-deflate; server_max_window_bits=8, ".repeat(size / 46);
    const settings = readCompression(true)!;
    return () => acceptOffer(parseExtensions(list), settings);
  },
  "parameters of an extension": (size) => {
    let list = "permessage-deflate";
    for (let i = 0; list.length < size; i++) list += `; p${i.toString(36)}=1`;
    const settings = readCompression(true)!;
    return () => acceptOffer(parseExtensions(list), settings);
  },
  "a list of white space": (size) => {
    const list = `a${" ".repeat(size)};b`;
    return () => {
      try {
        return parseExtensions(list);
      } catch {
        return null;
      }
    };
  },
  "a quoted string": (size) => {
    const list = `a; b="${"c".repeat(size)}"`;
    return () => parseExtensions(list);
  },
  "a list of subprotocols": (size) => {
    const list = Array.from({ length: size / 8 }, (_, i) => i.toString(36).padStart(6, "0"));
    const text = list.join(", ");
    return () => parseProtocols(text);
  },
  "a list of connection options": (size) => {
    const list = "keep-alive, ".repeat(size / 12);
    return () => listContains(list, "upgrade");
  },
  "proxies in X-Forwarded-For": (size) => {
    const text = `${UPGRADE}X-Forwarded-For: ${"10.0.0.1, ".repeat(size / 10)}10.0.0.1\r\n\r\n`;
    const peer = { hostname: "10.0.0.1", port: 1 };
    return () => {
      const head = parseRequestHead(text);
      return forwardedPeer(head.fields, "x-forwarded-for", peer, () => true);
    };
  },
  "proxies in Forwarded": (size) => {
    const hops = 'for="[2001:db8::1]:80";by=x, '.repeat(size / 29);
    const text = `${UPGRADE}Forwarded: ${hops}for=10.0.0.1\r\n\r\n`;
    const peer = { hostname: "10.0.0.1", port: 1 };
    return () => forwardedPeer(parseRequestHead(text).fields, "forwarded", peer, () => true);
  },
};

/** The same for a server that allows more than the defaults. */
export const LARGE_HEADS: Record<string, Shape> = {
  // The cost of a field grows with the number of fields, up to the most that are allowed.
  "requests of 1,024 fields": heads(
    MOST_FIELDS,
    UPGRADE,
    DIFFERENT,
    (text) => makeRequest(text, false),
  ),
};

/** The parsers of frames and bodies, without a connection. */
export const FRAMES: Record<string, Shape> = {
  "fragments of one byte": fragments("x"),
  "empty fragments": fragments(""),
  "one message, segments of one byte": (size) => {
    const bytes = masked(frame(TEXT, "x".repeat(size / 4)));
    return () => decodeAll(bytes, 1);
  },
  "one message in small pieces": (size) => {
    const bytes = masked(frame(TEXT, "x".repeat(size)));
    return () => decodeAll(bytes, 100);
  },
  "empty messages": frames(TEXT, ""),
  "messages of one byte": frames(TEXT, "x"),
  "pings": frames(PING, "x"),
  "multi-byte text": (size) => {
    const bytes = masked(frame(TEXT, "\u{1f600}".repeat(size / 4)));
    return () => decodeAll(bytes, 4099);
  },
  "close reasons": (size) => {
    const payload = closePayload(4000, "é".repeat(61));
    return () => {
      for (let at = 0; at < size; at += payload.length) decodeClosePayload(payload);
    };
  },
  "a body in chunks of one byte": (size) => {
    const bytes = chunks(size);
    return () => {
      const framer = new BodyFramer("chunked");
      for (let at = 0; at < bytes.length;) at += Math.max(1, framer.take(bytes.subarray(at), 0));
    };
  },
  "a refusal in chunks of one byte": (size) => {
    const bytes = chunks(size);
    return () => {
      const head = parseResponseHead("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n");
      const body = new RefusalBody(head);
      for (let at = 0; at < bytes.length; at += 512) body.push(bytes.subarray(at, at + 512));
    };
  },
  "compressed, in pieces of one byte": inflate((size) => ({
    messages: [
      new Uint8Array(deflateRawSync(crypto.getRandomValues(new Uint8Array(size / 16)))),
    ],
    pieces: 1,
  })),
  "compressed messages of one byte": inflate((size) => ({
    messages: Array.from({ length: size / 128 }, () => packed(false)),
    pieces: 100,
  })),
  "compressed messages of one byte, each the end of its stream": inflate((size) => ({
    messages: Array.from({ length: size / 512 }, () => packed(true)),
    pieces: 100,
  })),
};
