import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { testDatabase } from "./testing/database.ts";
import { type OtlpReceiver, otlpReceiver, type ReceivedSpan } from "./testing/otlp-receiver.ts";
import { project } from "./testing/project.ts";
import { type Running, run, start } from "./testing/symphony.ts";

/** Both kinds of execution; each handler says what its child will carry. */
const CONFIG = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const Child = defineMessage("child");
const work = async (payload, context) => {
  context.logger.info({ n: payload.n }, "parent");
  await context.dispatch(Child, payload);
};
const child = (payload, context) => context.logger.info({ n: payload.n, carried: context.headers.traceparent }, "child");
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL } },
  handlers: [
    defineHandler(defineMessage("inline"), work, { name: "inline", execution: "inline" }),
    defineHandler(defineMessage("threaded"), work, { name: "threaded" }),
    defineHandler(Child, child, { name: "child", execution: "inline" }),
  ],
});
`;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

/** Steps of a parent and its child. */
const WHOLE = ["process", "process", "send", "settle", "settle"];

interface Line {
  readonly msg: string;
  readonly n?: number;
  readonly trace_id?: string;
  readonly carried?: string;
}

interface Fleet {
  readonly running: Running;
  readonly receiver: OtlpReceiver;
  dispatch(type: string, payloads: readonly object[], flags?: readonly string[]): Promise<void>;
  lines(msg: string): readonly Line[];
  /** Everything that it still had to send is with the receiver. */
  stop(): Promise<void>;
}

async function fleetWith(t: TestContext, ratio: string): Promise<Fleet> {
  const database = await testDatabase(t);
  const receiver = await otlpReceiver(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const environment = {
    ...{ DATABASE_URL: database.url, SYMPHONY_HEALTH_PORT: "0", OTEL_METRICS_EXPORTER: "none" },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
    ...{ OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: ratio, OTEL_BSP_SCHEDULE_DELAY: "100" },
  };
  const running = start(t, ["consume", "--processes", "1", "--json"], { directory, environment });
  await running.saying(/fleet starting/);
  return {
    running,
    receiver,
    async dispatch(type, payloads, flags = []) {
      const input = payloads.map((payload) => JSON.stringify(payload)).join("\n");
      // By a sender that knows nothing of tracing.
      const done = await run(t, ["dispatch", type, ...flags, "--many"], { directory, environment: { DATABASE_URL: database.url }, input });
      assert.equal(done.code, 0, done.err);
    },
    lines: (msg) =>
      running
        .text()
        .split("\n")
        .filter((line) => line.startsWith("{") && line.includes(`"msg":"${msg}"`))
        .map((line) => JSON.parse(line) as Line),
    async stop() {
      running.child.kill("SIGTERM");
      assert.equal((await running.ended).code, 0, running.text());
    },
  };
}

/** Without the statements of the driver. */
const stepsOf = (spans: readonly ReceivedSpan[]): readonly string[] =>
  spans
    .map(({ name }) => name.replace(/ .*/, ""))
    .filter((name) => !name.startsWith("pg"))
    .sort();

for (const type of ["inline", "threaded"]) {
  test(`${type}: a message whose trace is not kept makes no span, has one trace id in its lines, and neither is its child kept`, async (t) => {
    const fleet = await fleetWith(t, "0");
    await fleet.dispatch(type, [{ n: 1 }]);
    await fleet.dispatch(type, [{ n: 2 }], ["--header", `traceparent=00-${TRACE}-${SPAN}-00`]);
    await waitFor(() => fleet.lines("child").length === 2, { what: "both children" });
    await fleet.stop();
    assert.deepEqual(
      fleet.receiver.spans.map(({ name }) => name),
      [],
    );
    for (const { n, trace_id: id = "", carried = "" } of fleet.lines("child")) {
      const [parent] = fleet.lines("parent").filter((line) => line.n === n);
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.equal(id, n === 2 ? TRACE : parent?.trace_id);
      assert.equal(parent?.trace_id, id);
      assert.match(carried, new RegExp(`^00-${id}-[0-9a-f]{16}-00$`));
    }
  });

  test(`${type}: a message whose sender keeps its trace is kept, whatever the ratio`, async (t) => {
    const fleet = await fleetWith(t, "0");
    await fleet.dispatch(type, [{ n: 1 }], ["--header", `traceparent=00-${TRACE}-${SPAN}-01`]);
    // What a thread has not sent when the fleet is stopped may be lost.
    const steps = () => stepsOf(fleet.receiver.spans.filter(({ traceId }) => traceId === TRACE));
    await waitFor(() => steps().length >= WHOLE.length, { what: "all spans" });
    await fleet.stop();
    assert.deepEqual(steps(), WHOLE);
  });
}

test("the ratio decides about whole traces: a parent and its child are both kept, or neither", async (t) => {
  const fleet = await fleetWith(t, "0.5");
  const count = 80;
  await fleet.dispatch(
    "inline",
    Array.from({ length: count }, (_, n) => ({ n })),
  );
  await waitFor(() => fleet.lines("child").length === count, { what: "all children" });
  const kept = () =>
    Map.groupBy(
      fleet.receiver.spans.filter(({ name }) => !name.startsWith("receive")),
      ({ traceId }) => traceId,
    );
  await waitFor(() => kept().size > 0 && [...kept().values()].every((spans) => stepsOf(spans).length >= WHOLE.length), {
    what: "whole traces",
  });
  await fleet.stop();
  const traces = kept();
  for (const [id, spans] of traces) assert.deepEqual(stepsOf(spans), WHOLE, id);
  // Fewer than 15 or more than 65 of 80 tosses come up heads once in a hundred million runs.
  assert.ok(traces.size >= 15 && traces.size <= 65, `${traces.size} of ${count}`);
});
