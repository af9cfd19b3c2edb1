import * as npm from "ws";
import * as ours from "../../ws.ts";

/** The members that both implementations have. */
export type Implementation = Pick<
  typeof ours,
  "WebSocket" | "WebSocketServer" | "createWebSocketStream"
>;

/**
 * Deliberate differences of this library. Each name is used by the test that shows the difference; docs/ws.md has the same
 * list.
 */
export interface Differences {
  /** After its own `close()` a socket emits no messages. */
  readonly messagesAfterClose: boolean;
  /** `close()` ends a pause, so that the peer's close frame is read. */
  readonly closeWhilePaused: boolean;
  /** `pause()` also stops messages of the same segment. */
  readonly pausesAtOnce: boolean;
  /** `_sender` and `Sender` exist. */
  readonly sender: boolean;
  /** `skipUTF8Validation` has an effect. */
  readonly skipsValidation: boolean;
  /** Bytes that are sent as text are validated. */
  readonly checksText: boolean;
  /** `send` takes a snapshot; later changes to the bytes aren't sent. */
  readonly snapshot: boolean;
  /** `maxFragments` and `maxBufferedChunks` have an effect. Without them, buffers are bounded in bytes. */
  readonly countsParts: boolean;
  /** `fragments` are those that the peer has sent; their boundaries have no meaning (RFC 6455 5.4). */
  readonly splitsFragments: boolean;
  /** Invalid sizes of windows throw in the constructor. */
  readonly checksWindows: boolean;
  /** A peer that sends pings and doesn't read the pongs is disconnected at `maxPendingAutoPongs`. */
  readonly endsUnreadPongs: boolean;
}

/** An implementation with its name and its differences. */
export interface Subject extends Implementation {
  readonly name: string;
  readonly is: Differences;
}

export const SUBJECTS: readonly Subject[] = [
  {
    ...npm as unknown as Implementation,
    name: "npm:ws",
    is: {
      messagesAfterClose: true,
      closeWhilePaused: false,
      pausesAtOnce: false,
      sender: true,
      skipsValidation: true,
      checksText: false,
      snapshot: false,
      countsParts: true,
      splitsFragments: true,
      checksWindows: false,
      endsUnreadPongs: true,
    },
  },
  {
    ...ours,
    name: "ours",
    is: {
      messagesAfterClose: false,
      closeWhilePaused: true,
      pausesAtOnce: true,
      sender: false,
      skipsValidation: false,
      checksText: true,
      snapshot: true,
      countsParts: false,
      splitsFragments: false,
      checksWindows: true,
      endsUnreadPongs: false,
    },
  },
];

/** Defines a test for each implementation. */
export function both(name: string, test: (subject: Subject) => Promise<void> | void): void {
  for (const subject of SUBJECTS) {
    Deno.test({
      name: `${subject.name}: ${name}`,
      fn: () => test(subject),
      // Timers of npm:ws may outlive its sockets.
      sanitizeOps: false,
      sanitizeResources: false,
    });
  }
}
