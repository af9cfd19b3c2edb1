// Our `./websocket`, the counterpart of peers/native_client.ts, which has the runtime's own class.

import { WebSocket } from "../../websocket.ts";
import { connectBy } from "./native_client.ts";

/** A client that sends and receives binary messages. */
export const connect = connectBy(WebSocket);
