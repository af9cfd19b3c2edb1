// The rules of Web IDL for the arguments of the interface, and for the properties of its members.

/** @throws {TypeError} If a call has too few arguments, as Web IDL requires. */
export function requireArguments(name: string, received: number, needed: number): void {
  if (received >= needed) return;
  throw new TypeError(
    `Cannot ${name}: ${needed} argument${needed === 1 ? "" : "s"} required, received ${received}`,
  );
}

/** Converts a value to `USVString`: lone surrogates become U+FFFD. */
export function toUsvString(value: unknown): string {
  if (typeof value === "symbol") throw new TypeError("Cannot convert a symbol to a string");
  return String(value).toWellFormed();
}

/** Converts a value to `[Clamp] unsigned short`: rounded to the nearest integer, ties to the even one. */
export function clampToUnsignedShort(value: unknown): number {
  // Unlike `Number()`, the operator refuses a BigInt, as Web IDL does.
  const number = +(value as number);
  if (Number.isNaN(number)) return 0;
  const clamped = Math.min(Math.max(number, 0), 0xffff);
  const floor = Math.floor(clamped), rest = clamped - floor;
  if (rest !== 0.5) return Math.round(clamped);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Makes the operations and attributes of an interface enumerable, and adds its constants and its name.
 *
 * @param name The name of the interface.
 * @param optional The operations without required arguments; their `length` is 0 (Web IDL 3.7.7).
 */
export function defineInterface(
  name: string,
  // deno-lint-ignore no-explicit-any
  constructor: new (...args: any[]) => object,
  constants: Readonly<Record<string, number>>,
  optional: readonly string[],
): void {
  const { prototype } = constructor;
  for (const member of Object.getOwnPropertyNames(prototype)) {
    if (member === "constructor") continue;
    const descriptor = Object.getOwnPropertyDescriptor(prototype, member)!;
    Object.defineProperty(prototype, member, { ...descriptor, enumerable: true });
  }
  for (const operation of optional) {
    Object.defineProperty(Reflect.get(prototype, operation), "length", { value: 0 });
  }
  for (const [constantName, value] of Object.entries(constants)) {
    const constant = { value, enumerable: true, writable: false, configurable: false };
    Object.defineProperty(constructor, constantName, constant);
    Object.defineProperty(prototype, constantName, constant);
  }
  // A bundler may have renamed the class.
  Object.defineProperty(constructor, "name", { value: name });
  Object.defineProperty(prototype, Symbol.toStringTag, {
    value: name,
    configurable: true,
    enumerable: false,
    writable: false,
  });
}
