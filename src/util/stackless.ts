/**
 * Makes an error without a stack trace. One that a peer causes would only show code of this library, and a trace costs
 * more than the rest of a connection that fails, while many may fail at once.
 */
export function stackless<Made extends Error>(make: () => Made): Made {
  const { stackTraceLimit } = Error;
  // An application may have frozen `Error`: then it is a trace too many.
  Reflect.set(Error, "stackTraceLimit", 0);
  try {
    return make();
  } finally {
    Reflect.set(Error, "stackTraceLimit", stackTraceLimit);
  }
}
