import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { testDatabase } from "./testing/database.ts";
import { otlpReceiver } from "./testing/otlp-receiver.ts";
import { project } from "./testing/project.ts";
import { run, start } from "./testing/symphony.ts";

const config = (execution: string): string => `import { defineBatchHandler, defineConfig, defineMessage } from "@symphony/core";
import { defineHandler } from "@symphony/core";
const Stored = defineMessage("stored", { queue: "stored" });
const Reading = defineMessage("reading", { queue: "readings" });
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL } },
  handlers: [
    defineBatchHandler(Reading, async (items) => {
      for (const { context } of items) context.logger.info({}, "in a batch");
      await items[0].context.dispatch(Stored, {});
    }, { name: "readings", size: 3, maxWaitMs: 20_000, ${execution} }),
    defineHandler(Stored, (_, context) => context.logger.info({}, "stored"), { name: "stored", execution: "inline" }),
  ],
});
`;

for (const [where, execution] of Object.entries({ "in a thread": "", "in the process": 'execution: "inline"' })) {
  test(`a batch ${where} has a span of its own, linked to the attempt of each message; lines keep the trace of their message`, async (t) => {
    const database = await testDatabase(t);
    const receiver = await otlpReceiver(t);
    const directory = project(t, { "symphony.config.ts": config(execution) });
    const environment = {
      ...{ DATABASE_URL: database.url, SYMPHONY_HEALTH_PORT: "0", OTEL_METRICS_EXPORTER: "none" },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
    };
    const fleet = start(t, ["consume", "--processes", "1", "--threads", "1", "--json"], { directory, environment });
    await fleet.saying(/fleet starting/);
    const input = [1, 2, 3].map((n) => JSON.stringify({ type: "reading", payload: { n } })).join("\n");
    assert.equal((await run(t, ["dispatch", "--many"], { directory, environment, input })).code, 0);
    await fleet.saying(/stored/);
    await waitFor(() => receiver.spans.filter(({ name }) => name === "settle readings").length === 3, { what: "all spans" });
    fleet.child.kill("SIGTERM");
    await fleet.ended;

    const processed = receiver.spans.filter(({ name }) => name === "process readings");
    const [batch, ...others] = processed.filter(({ attributes }) => "messaging.batch.message_count" in attributes);
    const attempts = processed.filter((span) => span !== batch);
    assert.ok(batch !== undefined && others.length === 0 && attempts.length === 3, processed.map(({ name }) => name).join());
    assert.equal(batch.attributes["messaging.batch.message_count"], "3");
    assert.equal(batch.attributes["symphony.message.type"], "reading");
    assert.equal(batch.parentSpanId ?? "", "");
    const ids = attempts.map(({ spanId }) => spanId).sort();
    assert.deepEqual(batch.links.map(({ spanId }) => spanId).sort(), ids);
    const [sent] = receiver.spans.filter(({ name }) => name === "send stored");
    assert.equal(sent?.parentSpanId, batch.spanId, "what the batch dispatches is below it");
    const lines = fleet.text().split("\n");
    const said = lines.filter((line) => line.includes('"in a batch"')).map((line) => (JSON.parse(line) as { span_id: string }).span_id);
    assert.deepEqual(said.sort(), ids);
  });
}
