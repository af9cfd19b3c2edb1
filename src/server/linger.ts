/** The time that a peer has to read the last answer and to close, in ms. */
export const LINGER = 1000;
