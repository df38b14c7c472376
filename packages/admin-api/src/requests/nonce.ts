import { createHash } from "node:crypto";
import type { Clock, Messenger } from "@symphony/core";
import { z } from "zod";
import { HttpProblem } from "../http/problem.ts";
import { requestStore } from "../transports.ts";

/** Milliseconds by which a timestamp may differ from this server's clock, either way. */
const WINDOW_MS = 60_000;
/** Milliseconds for which a nonce is remembered: longer than its timestamp counts, on servers whose clocks differ. */
const REMEMBERED_MS = 4 * WINDOW_MS;

const timestamp = z
  .string()
  .regex(/^\d{10}$/, "must be a Unix time in seconds, as `date +%s` prints it")
  .meta({ description: "Unix time in seconds; at most 60 s from the server's." });
const nonce = z
  .string()
  .regex(/^[A-Za-z0-9_-]{16,128}$/, "must have 16 to 128 of A-Z a-z 0-9 _ -")
  .meta({ description: "Any text that is new for every request, such as a UUID." });

const TIMESTAMP = "X-Symphony-Timestamp";
const NONCE = "X-Symphony-Nonce";

/** Headers that make a request good for one time. */
export const nonceHeaders = (required: boolean) =>
  required
    ? z.strictObject({ [TIMESTAMP]: timestamp, [NONCE]: nonce })
    : z
        .strictObject({ [TIMESTAMP]: timestamp.optional(), [NONCE]: nonce.optional() })
        .refine((given) => (given[TIMESTAMP] === undefined) === (given[NONCE] === undefined), {
          path: [NONCE],
          message: `must come together with ${TIMESTAMP}`,
        });

/**
 * Lets a request with a nonce in once, whichever server it comes to; one without is let in as it is.
 *
 * @throws {HttpProblem} 409 the nonce was used before, or its timestamp is not of now.
 */
export async function takeNonce(messenger: Messenger, clock: Clock, given: Readonly<Record<string, string | undefined>>): Promise<void> {
  const { [TIMESTAMP]: at, [NONCE]: once } = given;
  if (at === undefined || once === undefined) return;
  if (Math.abs(clock.now() - Number(at) * 1_000) > WINDOW_MS) throw replayed(`${TIMESTAMP} is more than 60 s from this server's clock`);
  const key = createHash("sha256")
    .update(JSON.stringify(["cron nonce", once]))
    .digest("hex");
  const known = await requestStore(messenger).claim({ key, fingerprint: "", forMs: REMEMBERED_MS });
  if (known !== undefined) throw replayed(`${NONCE} was used before`);
}

const replayed = (detail: string): HttpProblem => new HttpProblem(409, "REQUEST_REPLAYED", detail);
