import type { Transport } from "../transport/transport.ts";
import type { Responder } from "./responder.ts";
import type { UpgradeOffer } from "./upgrade_offer.ts";

/** A request for a WebSocket that an HTTP server has read, with its stream. */
export interface LateUpgrade {
  /** The text of its head. */
  readonly text: string;
  /** Bytes that came after the head. */
  readonly early: Uint8Array;
  /** The stream, which the caller now owns. */
  readonly transport: Transport;
  /** Writes the answer. Default: that of HTTP/1.1. */
  readonly responder?: Responder;
  /** The handler's decision; `null` if the listener decides. */
  readonly offer: UpgradeOffer | null;
}
