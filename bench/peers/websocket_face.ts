// Our `./websocket`, as peers/native_client.ts has the class that the runtime brings.

import { WebSocket } from "../../websocket.ts";
import { connectBy } from "./native_client.ts";

/** A client that sends and receives binary messages. */
export const connect = connectBy(WebSocket);
