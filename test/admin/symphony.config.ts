import { defineConfig, defineHandler, defineMessage, UnrecoverableError } from "@symphony/core";
import { z } from "zod";

const Resize = defineMessage("image.resize", { schema: z.object({ url: z.url(), width: z.int() }), queue: "images" });
const Fail = defineMessage("test.fail", { queue: "images", retry: { maxRetries: 0 } });
const Ping = defineMessage("test.ping");

/** What `symphony admin` works on in the black-box tests. */
export default defineConfig({
  transports: { default: { dsn: process.env.SYMPHONY_TEST_DSN ?? "embedded:" } },
  handlers: [
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
    roles: { authenticated: ["symphony:read"] },
    ...(process.env.SYMPHONY_TEST_NARROW === "1" ? {} : { limits: { requestsPerMinute: 1_000_000, failuresPerMinute: 1_000_000 } }),
  },
});
