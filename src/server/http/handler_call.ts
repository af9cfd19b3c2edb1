import { isThenable } from "../../util/foreign.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import { cancelBody } from "../refuse_with.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";

/** A call of the application's handler, which may throw, reject, answer with anything, or never settle. */
export class HandlerCall {
  readonly #handler: HttpHandler;
  /** Whether a failure was caused by the client, which must not be able to fill the console. */
  readonly #isClients: (error: unknown) => boolean;
  readonly #offer: UpgradeOffer | null;
  #settle: ((response: Response | null) => void) | null = null;
  #over = false;

  /** @param offer The WebSocket that the request asks for, if the handler decides about it. */
  constructor(
    handler: HttpHandler,
    offer: UpgradeOffer | null,
    isClients: (error: unknown) => boolean,
  ) {
    this.#handler = handler;
    this.#offer = offer;
    this.#isClients = isClients;
  }

  /**
   * Calls the handler.
   *
   * @returns The response; `null` if the client has left, or gets the offered WebSocket.
   */
  async run(request: Request, info: PeerInfo): Promise<Response | null> {
    const offer = this.#offer;
    if (offer === null) return await this.#ask(request, info);
    offer.open(request, (answer) => this.#settle!(answer));
    const response = await this.#ask(request, info);
    if (response === null) return null;
    try {
      return offer.answered(response);
    } catch (error) {
      offer.failed(error);
      return internalError(error);
    }
  }

  #ask(request: Request, info: PeerInfo): Promise<Response | null> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      const answered = (value: unknown) => {
        if (!this.#over) resolve(this.#check(value));
        else if (value instanceof Response) cancelBody(value);
      };
      const failed = (error: unknown) => {
        if (!this.#over) resolve(internalError(error));
        else if (!this.#isClients(error)) reportHandler(error);
      };
      try {
        const result = this.#handler(request, info);
        if (isThenable(result)) Promise.resolve(result).then(answered).catch(failed);
        else answered(result);
      } catch (error) {
        failed(error);
      }
    });
  }

  /** The client has left: the handler's response isn't needed. */
  left(): void {
    this.#over = true;
    this.#settle?.(null);
    this.#offer?.left();
  }

  #check(value: unknown): Response {
    const offer = this.#offer;
    if (!(value instanceof Response)) {
      if (offer !== null) return upgradeRequired();
      return internalError(new TypeError("Cannot answer with anything but a Response"));
    }
    const { status } = value;
    if (status === 101 && offer !== null && offer.engine !== null) return value;
    if (status < 200) {
      cancelBody(value);
      const hint = status === 101 ? ": use the response of ctx.upgrade, once" : "";
      return internalError(new TypeError(`Cannot answer with status ${status}${hint}`));
    }
    if (value.bodyUsed || value.body?.locked) {
      return internalError(new TypeError("Cannot answer with a Response whose body is in use"));
    }
    return value;
  }
}

/** The response if the handler has none for a client that asks for a WebSocket. */
function upgradeRequired(): Response {
  return new Response("The handler didn't upgrade the request", {
    status: 426,
    headers: { upgrade: "websocket" },
  });
}

/** Whether an error or one of its causes is among `reasons`. */
export function isCausedBy(error: unknown, reasons: readonly unknown[]): boolean {
  for (let cause = error, depth = 0; depth < 4; depth++) {
    if (reasons.includes(cause)) return true;
    cause = (cause as Error | null | undefined)?.cause;
  }
  return false;
}

/** The response if the handler has failed; reports the error. */
export function internalError(error: unknown): Response {
  reportHandler(error);
  return new Response("Internal Server Error", { status: 500 });
}

/** Reports a failure of the handler. */
export function reportHandler(error: unknown): void {
  console.error("A handler of ordinary HTTP has failed:", error);
}
