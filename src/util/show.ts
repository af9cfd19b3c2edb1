import { quote } from "./quote.ts";

const LONGEST = 120;

/**
 * Prints a received value for an error message: a string is quoted, escaped and cut to the length of a line; any other
 * value is printed with its type, unless that is obvious.
 *
 * @param value The received value.
 * @returns Its printed form.
 */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quote(value, LONGEST);
    case "number":
    case "undefined":
      return String(value);
    case "boolean":
      return `${value} (a boolean)`;
    case "bigint":
      return `${value}n (a bigint)`;
    case "object":
      return value === null ? "null" : showObject(value);
    default:
      return `a ${typeof value}`;
  }
}

function showObject(value: object): string {
  if (Array.isArray(value)) return value.length === 0 ? "[] (an array)" : "an array";
  const { constructor } = value;
  if (typeof constructor === "function" && constructor !== Object && constructor.name !== "") {
    return `an object of class ${constructor.name}`;
  }
  return Object.keys(value).length === 0 ? "{} (an object)" : "an object";
}
