// The reasons to hold messages: bits, of which several may be set at once.

/** `pause` was called. */
export const PAUSED = 1;
/** The promise of `onConnect` is unsettled. */
export const IN_CONNECT = 2;
/** The promise of `onMessage` is unsettled. */
export const IN_MESSAGE = 4;
/** There is no `onMessage`: messages wait until a consumer takes them. */
export const NO_CONSUMER = 8;
/** The promise of a frame callback is unsettled. */
export const IN_FRAME = 16;
/** The reasons that hold frames too, if the application has frame callbacks: payload can't be kept for later. */
export const FRAME_HOLDS = PAUSED | IN_CONNECT | IN_FRAME;

const WORDS: readonly (readonly [bit: number, words: string])[] = [
  [PAUSED, "pause() was called"],
  [IN_CONNECT, "the promise of onConnect is unsettled"],
  [IN_MESSAGE, "the promise of onMessage is unsettled"],
  [NO_CONSUMER, "no message is asked for"],
  [IN_FRAME, "the promise of a frame callback is unsettled"],
];

/** Returns the reasons in words. */
export function describeHolds(reasons: number): string {
  return WORDS.filter(([bit]) => (reasons & bit) !== 0).map(([, words]) => words).join(", ");
}
