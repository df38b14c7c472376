import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { checkConfig } from "./check-config.ts";
import { defineHandler } from "./handlers.ts";
import { defineMessage } from "./message.ts";
import type { TransportFactory } from "./transport-factory.ts";

const Ping = defineMessage("app.ping", { schema: z.object({}) });
const ping = () => defineHandler(Ping, async () => undefined, { name: "ping" });
const memory = { transports: { default: { dsn: "memory:" } } };

test("returns the parsed configuration of one that fits together", async () => {
  const parsed = await checkConfig({ ...memory, handlers: [ping()] });
  assert.deepEqual(parsed.routing, { "*": ["default"] });
  await checkConfig({ transports: { here: { dsn: "sync:" } } });
});

test("names a field that nobody knows", async () => {
  await assert.rejects(checkConfig({ ...memory, rooting: {} } as never), { code: "OPTIONS_INVALID", message: /rooting.*"routing"/s });
});

test("refuses two handlers of one name, and a scheme without a factory", async () => {
  await assert.rejects(checkConfig({ ...memory, handlers: [ping(), ping()] }), { code: "CONFIG_INVALID", message: /two handlers/ });
  await assert.rejects(checkConfig({ transports: { a: { dsn: "kafka://x" } } }), { code: "CONFIG_INVALID", message: /"kafka"/ });
});

test("asks the factory of every transport about its DSN and options, and makes none", async () => {
  const asked: unknown[] = [];
  const factory: TransportFactory = {
    schemes: ["own"],
    create: () => assert.fail("a transport was made"),
    check: (input) => void asked.push(input),
  };
  const transports = { a: { dsn: "own://x", options: { b: 1 } }, c: { dsn: "memory:?capcity=1" } };
  await assert.rejects(checkConfig({ transports, routing: { "*": "a" } }, [factory]), {
    code: "OPTIONS_INVALID",
    message: /transports\.c\.options\.capcity/,
  });
  assert.deepEqual(asked, [{ name: "a", dsn: "own://x", options: { b: 1 } }]);
});
