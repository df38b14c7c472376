import { once } from "node:events";
import { defineConfig, defineHandler, defineMessage, defineSchedule, UnrecoverableError } from "@symphony/core";
import { z } from "zod";

const Resize = defineMessage("image.resize", { schema: z.object({ url: z.url(), width: z.int() }), queue: "images" });
const Fail = defineMessage("test.fail", { queue: "images", retry: { maxRetries: 0 } });
const Ping = defineMessage("test.ping");
const Wait = defineMessage("test.wait", { queue: "waits" });
const Unrouted = defineMessage("odd.unrouted");

/** What a refusal needs that nobody else should meet: another transport, a type without a route, a schedule that fails. */
const odd = process.env.SYMPHONY_TEST_ODD === "1";
const dsn = process.env.SYMPHONY_TEST_DSN ?? "embedded:";
const handles = process.env.SYMPHONY_TEST_HANDLERS !== "0";

function noPayload(): never {
  throw new Error("there is nothing to report");
}

/** What `symphony admin` works on in the black-box tests. */
export default defineConfig({
  transports: odd ? { main: { dsn }, scratch: { dsn: "memory:" } } : { default: { dsn } },
  messages: [Resize, Fail, Ping, ...(odd ? [Wait, Unrouted] : [])],
  ...(odd ? { routing: { "image.*": "main", "test.*": "main" } } : {}),
  schedules: odd ? [defineSchedule("broken", { message: Resize, cron: "0 0 1 1 *", payload: () => noPayload() })] : [],
  handlers: !handles
    ? []
    : [
        ...(odd ? [defineHandler(Wait, (_, { signal }) => once(signal, "abort"), { execution: "inline" })] : []),
        defineHandler(Resize, () => undefined, { execution: "inline" }),
        defineHandler(Ping, () => undefined, { execution: "inline" }),
        defineHandler(
          Fail,
          () => {
            throw new UnrecoverableError("it cannot work");
          },
          { execution: "inline" },
        ),
      ],
  auth: {
    requireCronNonce: process.env.SYMPHONY_TEST_CRON_NONCE === "1",
    roles: { authenticated: ["symphony:read"] },
    ...(process.env.SYMPHONY_TEST_NARROW === "1" ? {} : { limits: { requestsPerMinute: 1_000_000, failuresPerMinute: 1_000_000 } }),
  },
});
