import * as npm from "ws";
import * as ours from "../../ws.ts";

/** What both have. */
export type Implementation = Pick<
  typeof ours,
  "WebSocket" | "WebSocketServer" | "createWebSocketStream"
>;

/**
 * Where ours differs on purpose. Each name is used by the test that shows the difference; docs/ws.md has the same list.
 */
export interface Differences {
  /** After its own `close()` a socket emits no message any more. */
  readonly messagesAfterClose: boolean;
  /** `close()` lifts a pause, so that the peer's close frame is seen. */
  readonly closeWhilePaused: boolean;
  /** `pause()` holds what came in the same segment, too. */
  readonly pausesAtOnce: boolean;
  /** `_sender` and `Sender` are there. */
  readonly sender: boolean;
  /** `skipUTF8Validation` has an effect. */
  readonly skipsValidation: boolean;
  /** Bytes that are sent as text are checked. */
  readonly checksText: boolean;
  /** `send` takes a snapshot; later changes to the bytes aren't sent. */
  readonly snapshot: boolean;
  /** `maxFragments` and `maxBufferedChunks` have an effect; what is buffered is bounded in bytes otherwise. */
  readonly countsParts: boolean;
  /** The pings of a peer that doesn't read its pongs end the connection at `maxPendingAutoPongs`. */
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
      endsUnreadPongs: false,
    },
  },
];

/** Both implementations get the same test. */
export function both(name: string, test: (subject: Subject) => Promise<void> | void): void {
  for (const subject of SUBJECTS) {
    Deno.test({
      name: `${subject.name}: ${name}`,
      fn: () => test(subject),
      // Timers of npm:ws outlive its sockets.
      sanitizeOps: false,
      sanitizeResources: false,
    });
  }
}
