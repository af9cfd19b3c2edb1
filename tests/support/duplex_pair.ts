import { Duplex } from "node:stream";

/**
 * Makes two connected Node streams. Each passes written bytes to the other within the call.
 *
 * @param written Called with each chunk that is written to the first stream.
 */
export function duplexPair(written: (chunk: Uint8Array) => void = () => {}): [Duplex, Duplex] {
  const ends: Duplex[] = [0, 1].map((own) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        if (own === 0) written(chunk);
        ends[1 - own].push(chunk);
        done();
      },
      final(done) {
        ends[1 - own].push(null);
        done();
      },
    })
  );
  return [ends[0], ends[1]];
}
