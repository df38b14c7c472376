import { ERROR_CODES, type ErrorCode, MessengerError, TransportError } from "@symphony/core";
import type { PlainError } from "./thread-protocol.ts";

const TRANSPORT_CODES = [
  "TRANSPORT_UNAVAILABLE",
  "TRANSPORT_FAILED",
  "QUEUE_NOT_FOUND",
  "SCHEMA_VERSION_MISMATCH",
  "CAPABILITY_MISSING",
] as const;

/** An error as plain data for another thread: code, text and details survive, the cause goes into the text. */
export function toPlainError(error: unknown): PlainError {
  if (!(error instanceof MessengerError))
    return { code: "TRANSPORT_FAILED", message: `the message was not sent: ${textOf(error)}`, details: {} };
  const cause = error.cause === undefined ? "" : ` (cause: ${textOf(error.cause)})`;
  return { code: error.code, message: `${error.message}${cause}`, details: plainDetails(error) };
}

/** The other way round: an error that callers can tell by its code, as if it had been thrown here. */
export function fromPlainError({ code, message, details }: PlainError): MessengerError {
  const transportCode = TRANSPORT_CODES.find((known) => known === code);
  if (transportCode !== undefined) return new TransportError(transportCode, message, { details });
  return new MessengerError(isErrorCode(code) ? code : "TRANSPORT_FAILED", message, { details });
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_CODES, code);

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function plainDetails(error: MessengerError): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(error.details)) as Record<string, unknown>;
  } catch {
    // Details are meant to be plain; without them the code still tells what happened.
    return {};
  }
}
