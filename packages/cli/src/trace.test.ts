import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { testDatabase } from "./testing/database.ts";
import { otlpReceiver, type ReceivedSpan } from "./testing/otlp-receiver.ts";
import { project } from "./testing/project.ts";
import { start } from "./testing/symphony.ts";

const TOKEN = "test-token-0123456789-abcdefghijklmnop";
const CANARY = "c4n4ry";

/** As the chart sets it. */
const POD = {
  ...{ "service.namespace": "messages", "service.version": "1", "service.instance.id": "worker-x", "k8s.pod.name": "worker-x" },
  ...{ "k8s.namespace.name": "messages", "k8s.node.name": "node-1", "k8s.container.name": "worker", "container.id": "1ebedb637aea" },
};

/** The first attempt fails; the second asks the database, logs in both ways and dispatches a child. */
const CONFIG = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
import pg from "pg";
import { pino } from "pino";
const plain = pino();
const Order = defineMessage("order", { queue: "orders", retry: { maxRetries: 2, delayMs: 50 } });
const Mail = defineMessage("mail", { queue: "mails" });
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL } },
  auth: { publicDocs: true },
  handlers: [
    defineHandler(Order, async (payload, context) => {
      context.logger.info({}, "by context.logger");
      plain.info("by plain pino");
      if (context.attempt === 1) throw new Error("no luck with ${CANARY}-error " + payload.secret);
      const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
      await client.connect();
      await client.query("SELECT $1::text AS handlers_own", [payload.secret]);
      await client.query("SELECT '" + payload.secret + "'::int").catch(() => undefined);
      await client.end();
      await context.dispatch(Mail, { to: payload.secret });
    }, { name: "order" }),
    defineHandler(Mail, (_, context) => context.logger.info({}, "mailed"), { name: "mail", execution: "inline" }),
  ],
});
`;

test("one trace leads from an HTTP dispatch through a retry in a thread to the child message, and to its log lines; payloads are nowhere", async (t) => {
  const startedAt = Date.now();
  const database = await testDatabase(t);
  const receiver = await otlpReceiver(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const environment = {
    ...{ DATABASE_URL: database.url, SYMPHONY_AUTH_TOKEN: TOKEN, SYMPHONY_HEALTH_PORT: "0" },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "100" },
    OTEL_RESOURCE_ATTRIBUTES: Object.entries(POD)
      .map((pair) => pair.join("="))
      .join(),
  };
  const fleet = start(t, ["consume", "--processes", "2", "--json"], { directory, environment });
  await fleet.saying(/fleet starting/);
  const admin = start(t, ["admin", "--port", "0", "--json"], { directory, environment });
  const [, url = ""] = await admin.saying(/(http:\/\/127\.0\.0\.1:\d+)/);
  const response = await fetch(`${url}/api/symphony/dispatch`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ message: { type: "order", payload: { secret: `${CANARY}-payload` } } }),
  });
  assert.equal(response.status, 201, await response.text());
  const { spans } = receiver;
  const named = (name: string): readonly ReceivedSpan[] => spans.filter((span) => span.name === name);
  await fleet.saying(/mailed/);
  await waitFor(
    () =>
      named("settle mails").length > 0 &&
      named("settle orders").length === 2 &&
      named("receive mails").length > 0 &&
      named("send mails").length > 0,
    {
      what: "all spans",
    },
  );

  const [http] = spans.filter(({ kind, attributes }) => kind === 2 && Object.values(attributes).includes("POST"));
  const [send] = named("send orders");
  const [first, second] = [...named("process orders")].sort(byAttempt);
  const [query] = spans.filter(({ attributes }) => Object.values(attributes).some((value) => value.includes("handlers_own")));
  const [sendChild] = named("send mails");
  const [child] = named("process mails");
  assert.ok(http && send && first && second && query && sendChild && child, spans.map(({ name }) => name).join());
  const parts = [http, send, first, second, query, sendChild, child, ...named("settle orders"), ...named("settle mails")];
  assert.equal(new Set(parts.map(({ traceId }) => traceId)).size, 1, "all are one trace");
  for (const { name, startTimeUnixNano, endTimeUnixNano } of spans) {
    const [from, to] = [Number(startTimeUnixNano) / 1e6, Number(endTimeUnixNano) / 1e6];
    // Who measures in which clock must not show.
    assert.ok(startedAt - 1_000 < from && from <= to && to < Date.now() + 1_000, `${name}: ${from} to ${to}`);
  }
  assert.equal(send.parentSpanId, http.spanId);
  assert.equal(first.parentSpanId, send.spanId);
  assert.equal(second.parentSpanId, send.spanId);
  assert.equal(query.parentSpanId, second.spanId, "a handler's query in a thread");
  assert.equal(sendChild.parentSpanId, second.spanId);
  assert.equal(child.parentSpanId, sendChild.spanId);
  assert.deepEqual(idsOf(first.links), [send.spanId]);
  assert.deepEqual(idsOf(second.links), [send.spanId, first.spanId], "the retry is linked to the attempt before");
  assert.deepEqual(idsOf(child.links), [sendChild.spanId]);
  assert.deepEqual(
    named("settle orders")
      .map(({ parentSpanId }) => parentSpanId)
      .sort(),
    [first.spanId, second.spanId].sort(),
  );
  assert.deepEqual(
    named("settle orders")
      .map(({ attributes }) => attributes["messaging.operation.name"])
      .sort(),
    ["ack", "retry"],
  );
  assert.ok(
    named("receive mails").some(({ links }) => idsOf(links).includes(sendChild.spanId)),
    "a receive links what it brought",
  );
  assert.deepEqual([first.status, first.attributes["error.type"], second.status], [2, "Error", 0]);
  assert.deepEqual(
    [second.attributes["messaging.system"], second.attributes["messaging.destination.name"], second.attributes["symphony.message.type"]],
    ["symphony", "orders", "order"],
  );
  assert.deepEqual(
    [first, second].map(({ attributes }) => attributes["symphony.message.attempt"]),
    ["1", "2"],
  );

  const lines = linesOf(fleet.text()).filter((line) => line.trace_id === http.traceId);
  for (const said of ["by context.logger", "by plain pino"]) {
    const found = lines.filter(({ msg }) => msg === said);
    assert.deepEqual(
      found.map(({ span_id }) => span_id),
      [first.spanId, second.spanId],
      said,
    );
    for (const line of found) {
      assert.equal(line.message_id, second.attributes["messaging.message.id"], said);
      assert.deepEqual([line.message_type, line.queue], ["order", "orders"], said);
      assert.equal(String(line.worker_pid ?? line.pid), (line.attempt === 1 ? first : second).pid, said);
    }
    assert.deepEqual(
      found.map(({ attempt }) => attempt),
      [1, 2],
      said,
    );
  }
  assert.equal(lines.filter(({ msg }) => msg === "attempt failed, will retry").length, 1);

  for (const running of [fleet, admin]) running.child.kill("SIGTERM");
  for (const running of [fleet, admin]) assert.equal((await running.ended).code, 0, running.text());
  assert.ok(receiver.metrics.has("messaging.process.duration") && receiver.metrics.has("symphony.queue.ready"), "metrics are pushed, too");
  assert.deepEqual([...new Set(receiver.resources.map(({ signal }) => signal))].sort(), ["metrics", "traces"]);
  for (const { signal, attributes } of receiver.resources) {
    assert.deepEqual({ ...attributes, ...POD }, attributes, signal);
    for (const name of ["service.name", "host.name", "process.pid"]) assert.ok(attributes[name], `${signal} ${name}`);
  }
  assert.ok(!receiver.text().includes(CANARY), "neither payloads nor what errors say are in what leaves the process");
  assert.ok(!fleet.text().includes(`${CANARY}-payload`) || onlyInError(fleet.text()), "no log line quotes the payload by itself");
  assert.ok(!admin.text().includes(CANARY));
});

const idsOf = (links: ReceivedSpan["links"]): readonly string[] => links.map(({ spanId }) => spanId);
const byAttempt = (a: ReceivedSpan, b: ReceivedSpan): number =>
  Number(a.attributes["symphony.message.attempt"]) - Number(b.attributes["symphony.message.attempt"]);

function linesOf(text: string): readonly Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The handler of this test puts the payload into its error, and an error's message is logged. */
const onlyInError = (text: string): boolean =>
  linesOf(text).every((line) => !JSON.stringify({ ...line, error: undefined }).includes(CANARY));
