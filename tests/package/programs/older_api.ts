/**
 * An application whose meter provider was registered through an older version of the API than the library would get. Prints
 * the instruments that the library has created, and the value of the counter of closes.
 */
import { type Meter, metrics } from "npm:@opentelemetry/api@1.9.0";
import { Context } from "../../../mod.ts";

const names: string[] = [];
let closes = 0;
const counter = { add: () => void closes++ };
const nothing = { record() {} };
const meter = new Proxy({}, {
  get: (_, made: string) => (name: unknown) => {
    if (typeof name === "string") names.push(name);
    return made === "createCounter" ? counter : nothing;
  },
}) as Meter;
metrics.setGlobalMeterProvider({ getMeter: () => meter });

const { instrument } = await import("../../../otel.ts");
await using ctx = new Context();
using measured = instrument(ctx);
const listener = ctx.listen({ hostname: "127.0.0.1" });
const conn = ctx.connect(listener.url, measured.handlers);
await conn.opened;
conn.close();
await conn.closed;
console.log(JSON.stringify({ names, closes }));
