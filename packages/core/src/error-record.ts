/** An error as it is stored and shown: plain, at most 16 KiB, whatever was thrown. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
}

// Bytes as JSON. Together with the field names and the marks of a cut they stay below 16 KiB.
const MAX_MESSAGE_BYTES = 5_000;
const MAX_STACK_BYTES = 9_000;
const MAX_NAME_BYTES = 500;
const CAUSES_READ = 5;

/**
 * Turns anything that was thrown into an `ErrorRecord`.
 *
 * Never throws: not for `null`, a frozen object, a circular cause, a getter that throws or a message of 10 MB. NUL and
 * lone surrogates, which PostgreSQL's jsonb refuses, are replaced.
 */
export function toErrorRecord(thrown: unknown): ErrorRecord {
  try {
    if (typeof thrown !== "object" || thrown === null) return { name: "Error", message: storable(safeString(thrown), MAX_MESSAGE_BYTES) };
    const name = storable(safeString(read(thrown, "name") ?? "Error"), MAX_NAME_BYTES) || "Error";
    const given = read(thrown, "message");
    const message = storable(withCauses(thrown, safeString(given ?? describePlain(thrown))), MAX_MESSAGE_BYTES);
    const stack = read(thrown, "stack");
    const code = read(thrown, "code");
    return {
      name,
      message,
      ...(typeof stack === "string" ? { stack: storable(stack, MAX_STACK_BYTES) } : {}),
      ...(typeof code === "string" || typeof code === "number" ? { code: storable(String(code), MAX_NAME_BYTES) } : {}),
    };
  } catch {
    return { name: "Error", message: "an error that cannot be read" };
  }
}

const SHORT_MESSAGE_BYTES = 1_000;
const SHORT_NAME_BYTES = 100;

/** For a history of attempts, ten of which take less than 16 KiB: without the stack, which is kept once with the final failure. */
export function toShortRecord({ name, message, code }: ErrorRecord): ErrorRecord {
  return {
    name: storable(name, SHORT_NAME_BYTES),
    message: storable(message, SHORT_MESSAGE_BYTES),
    ...(code === undefined ? {} : { code: storable(code, SHORT_NAME_BYTES) }),
  };
}

function withCauses(thrown: object, message: string): string {
  const seen = new Set<unknown>([thrown]);
  let text = message;
  let cause = read(thrown, "cause");
  while (cause !== undefined && cause !== null && !seen.has(cause) && seen.size < CAUSES_READ) {
    seen.add(cause);
    const causeMessage = typeof cause === "object" ? read(cause, "message") : cause;
    if (causeMessage !== undefined) text += ` (cause: ${safeString(causeMessage).slice(0, MAX_MESSAGE_BYTES)})`;
    cause = typeof cause === "object" ? read(cause, "cause") : undefined;
  }
  return text;
}

function read(target: object, key: string): unknown {
  try {
    return (target as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function describePlain(thrown: object): string {
  try {
    return JSON.stringify(thrown) ?? "an object was thrown";
  } catch {
    return "an object was thrown";
  }
}

function safeString(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "a value that cannot be shown";
  }
}

function storable(text: string, maxBytes: number): string {
  // No character takes less than a byte, so that the rest of 10 MB need not be looked at.
  const head = text
    .slice(0, maxBytes + 1)
    .replaceAll("\0", "\uFFFD")
    .toWellFormed();
  let bytes = 0;
  let end = 0;
  for (const character of head) {
    bytes += jsonBytes(character);
    if (bytes > maxBytes) return `${head.slice(0, end)}… (${text.length} characters)`;
    end += character.length;
  }
  return head;
}

/** What a character takes in a JSON document. */
function jsonBytes(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return 6;
  if (code < 0x80) return character === '"' || character === "\\" ? 2 : 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}
