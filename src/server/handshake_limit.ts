import type { Member, MemberList } from "../util/member_list.ts";

/** A handshake in progress, as far as making room for others is concerned. */
export interface Waiting extends Member {
  /** Whether it is the application that keeps it waiting. */
  readonly deciding: boolean;
  /** Ends it. */
  evict(): void;
}

/**
 * Makes room for one more handshake: evicts the oldest one that waits for its peer. Real clients finish within
 * milliseconds, so the oldest are most likely attackers. Refusing the newest instead would
 * let a peer that holds them all keep all others out until they time out.
 *
 * @param pending Those in progress, the oldest first; what is evicted is taken out.
 * @param most How many there may be, the new one included.
 * @returns Whether there is room: not if all of them wait for the application.
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
