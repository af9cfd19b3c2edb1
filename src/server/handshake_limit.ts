import type { Member, MemberList } from "../util/member_list.ts";

/** A handshake in progress that may be evicted. */
export interface Waiting extends Member {
  /** Whether it waits for the application, and not for the peer. */
  readonly deciding: boolean;
  /** Ends the handshake to make room for others. */
  evict(): void;
}

/**
 * Makes room for one more handshake: evicts the oldest one that waits for its peer. Real clients finish within milliseconds,
 * so the oldest are most likely attackers. If the newest were refused instead, an attacker with enough handshakes could
 * keep all others out until the timeout.
 *
 * @param pending The handshakes in progress, the oldest first; an evicted one is removed.
 * @param most The most handshakes, the new one included.
 * @returns Whether there is room; `false` if all of them wait for the application.
 */
export function evictOldest<Handshake extends Waiting>(
  pending: MemberList<Handshake>,
  most: number,
): boolean {
  if (pending.size < most) return true;
  const oldest = pending.find(({ deciding }) => !deciding);
  if (oldest === undefined) return false;
  pending.delete(oldest);
  oldest.evict();
  return true;
}
