/** How long a peer has, in ms, to take the last answer and to close. */
export const LINGER = 1000;
