import assert from "node:assert/strict";
import { test } from "node:test";
import { TransportError, UnrecoverableError } from "../errors.ts";
import { defineHandler } from "../handlers.ts";
import { defineMessage } from "../message.ts";
import { createMessenger } from "../messenger.ts";
import { Worker } from "../worker.ts";
import { MessageMetrics } from "./message-metrics.ts";
import { type HistogramValue, Meter } from "./meter.ts";
import { ATTRIBUTES, METRICS, type MetricDefinition, OTHER } from "./names.ts";

const Good = defineMessage("good");
const Bad = defineMessage("bad", { retry: { maxRetries: 1, delayMs: 0 } });
const Final = defineMessage("final");
const Stray = defineMessage("stray");
const CANARY = "Bearer s3cr3t-canary";

class Oops extends Error {}

test("counts what is sent, received, handled, tried again and given up, by queue, type and class of error", async () => {
  const handlers = [
    defineHandler(Good, () => undefined),
    defineHandler(Bad, () => {
      throw Object.assign(new Oops("no"), { name: "Oops" });
    }),
    defineHandler(Final, () => {
      throw Object.assign(new UnrecoverableError(CANARY), { name: CANARY });
    }),
  ];
  const messenger = await createMessenger({ transports: { default: { dsn: "memory:" } }, handlers, messages: [Stray] });
  for (const type of [Good, Good, Bad, Final, Stray]) await messenger.dispatch(type, { canary: CANARY });
  await assert.rejects(messenger.dispatch(Good, { self: 1n }), { code: "PAYLOAD_NOT_JSON" });
  const worker = new Worker({ transport: messenger.transport("default"), messenger, stopWhenEmpty: true });
  await worker.start();
  const read = (definition: MetricDefinition, labels: Record<string, string>): number => {
    const found = messenger.meter
      .series()
      .filter(({ name, labels: has }) => name === definition.name && Object.entries(labels).every(([key, value]) => has[key] === value));
    return found.reduce((sum, { value }) => sum + (typeof value === "number" ? value : count(value)), 0);
  };
  const ofType = (type: string) => ({ [ATTRIBUTES.messageType]: type });
  assert.equal(read(METRICS.sentMessages, {}), 6);
  assert.equal(read(METRICS.sentMessages, { [ATTRIBUTES.errorType]: "MessengerError" }), 1);
  assert.equal(read(METRICS.consumedMessages, { [ATTRIBUTES.destinationName]: "default" }), 6);
  assert.equal(read(METRICS.processDuration, ofType("good")), 2);
  assert.equal(read(METRICS.processDuration, { ...ofType("bad"), [ATTRIBUTES.errorType]: "Oops" }), 2);
  assert.equal(read(METRICS.processDuration, { ...ofType("final"), [ATTRIBUTES.errorType]: OTHER }), 1);
  assert.equal(read(METRICS.processDuration, ofType("stray")), 0, "a type that nobody knows gets no label of its own");
  assert.equal(read(METRICS.processDuration, ofType(OTHER)), 1);
  assert.equal(read(METRICS.messageRetries, {}), 1);
  assert.equal(read(METRICS.messageDeadLetters, { [ATTRIBUTES.reason]: "retries_exhausted" }), 1);
  assert.equal(read(METRICS.messageDeadLetters, { [ATTRIBUTES.reason]: "unrecoverable" }), 1);
  assert.equal(read(METRICS.messageDeadLetters, { [ATTRIBUTES.reason]: "no_handler" }), 1);
  assert.ok(read(METRICS.operationDuration, { [ATTRIBUTES.operationName]: "receive" }) > 0);
  assert.ok(read(METRICS.operationDuration, { [ATTRIBUTES.operationName]: "settle" }) > 0);
  assert.ok(!JSON.stringify(messenger.meter.series()).includes("canary"), "neither payloads nor what errors say");
  await messenger.close();
});

const count = ({ counts }: HistogramValue): number => counts.reduce((sum, each) => sum + each, 0);

test("makes no series of names that no queue has, however many are tried", () => {
  const meter = new Meter();
  const metrics = new MessageMetrics(meter);
  for (let n = 0; n < 100; n += 1) metrics.sent(`nowhere-${n}`, 1, new TransportError("QUEUE_NOT_FOUND", "there is no such queue"));
  metrics.sent("mails", 1, new TransportError("TRANSPORT_UNAVAILABLE", "away"));
  const sent = meter.series().filter(({ name }) => name === METRICS.sentMessages.name);
  assert.deepEqual(
    sent.map(({ labels, value }) => [labels[ATTRIBUTES.destinationName], value]),
    [
      [OTHER, 100],
      ["mails", 1],
    ],
  );
});
