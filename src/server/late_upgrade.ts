import type { Transport } from "../transport/transport.ts";
import type { Responder } from "./responder.ts";
import type { UpgradeOffer } from "./upgrade_offer.ts";

/** A request that asks for a WebSocket and was read elsewhere, with the stream that it has come by. */
export interface LateUpgrade {
  /** The text of its head. */
  readonly text: string;
  /** What came after it. */
  readonly early: Uint8Array;
  /** The stream, the receiver's from now on. */
  readonly transport: Transport;
  /** What answers it; missing for HTTP/1.1. */
  readonly responder?: Responder;
  /** What the handler has decided; `null` if the listener is to. */
  readonly offer: UpgradeOffer | null;
}
