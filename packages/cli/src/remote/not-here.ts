import { MessengerError } from "@symphony/core";

/** For what no admin API does. */
export function notHere(): Promise<never> {
  return Promise.reject(
    new MessengerError("CAPABILITY_MISSING", "this needs the database: it cannot be done through an admin API (--url)"),
  );
}
