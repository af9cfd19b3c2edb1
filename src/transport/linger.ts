/** The time that a peer has to read our last bytes and to end its direction, in ms. */
export const LINGER = 1000;
