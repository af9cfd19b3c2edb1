import { isThenable } from "../../util/foreign.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import { cancelBody } from "../refuse_with.ts";

/** A call of the application's handler, which may throw, reject, answer with anything, or never settle. */
export class HandlerCall {
  readonly #handler: HttpHandler;
  /** Whether a failure is what the client did, which must not be able to fill the console. */
  readonly #isClients: (error: unknown) => boolean;
  #settle: ((response: Response | null) => void) | null = null;
  #over = false;

  constructor(handler: HttpHandler, isClients: (error: unknown) => boolean) {
    this.#handler = handler;
    this.#isClients = isClients;
  }

  /** Asks the handler; resolves with what is to be answered, `null` if the client has left before. */
  run(request: Request, info: PeerInfo): Promise<Response | null> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      const answered = (value: unknown) => {
        if (!this.#over) resolve(check(value));
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

  /** The client has left: what the handler answers is of no use. */
  left(): void {
    this.#over = true;
    this.#settle?.(null);
  }
}

function check(value: unknown): Response {
  if (!(value instanceof Response)) {
    return internalError(new TypeError("Cannot answer with anything but a Response"));
  }
  if (value.status < 200) {
    cancelBody(value);
    return internalError(new TypeError(`Cannot answer with status ${value.status}`));
  }
  if (value.bodyUsed || value.body?.locked) {
    return internalError(new TypeError("Cannot answer with a Response whose body is in use"));
  }
  return value;
}

/** Whether an error is one of these, or was caused by it. */
export function isCausedBy(error: unknown, reasons: readonly unknown[]): boolean {
  for (let cause = error, depth = 0; depth < 4; depth++) {
    if (reasons.includes(cause)) return true;
    cause = (cause as Error | null | undefined)?.cause;
  }
  return false;
}

/** The answer in place of a handler's that has failed. */
export function internalError(error: unknown): Response {
  reportHandler(error);
  return new Response("Internal Server Error", { status: 500 });
}

/** Reports a failure of the handler. */
export function reportHandler(error: unknown): void {
  console.error("A handler of ordinary HTTP has failed:", error);
}
