import assert from "node:assert/strict";
import { test } from "node:test";
import { planTelemetry } from "./environment.ts";

test("asks for nothing when no endpoint and no exporter is named, or when it is disabled", () => {
  for (const environment of [
    {},
    { OTEL_SERVICE_NAME: "shop" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318", OTEL_SDK_DISABLED: "true" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318", OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none" },
    { OTEL_METRICS_EXPORTER: "prometheus" },
  ]) {
    const { traces, metrics } = planTelemetry(environment);
    assert.deepEqual([traces, metrics], [undefined, undefined], JSON.stringify(environment));
  }
});

test("an endpoint asks for traces and metrics, one of its own for its signal only", () => {
  const both = planTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" });
  assert.deepEqual([both.traces, both.metrics], new Array(2).fill({ exporter: "otlp", protocol: "http/protobuf" }));
  const one = planTelemetry({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://collector:4318",
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json",
  });
  assert.deepEqual([one.traces, one.metrics], [{ exporter: "otlp", protocol: "http/json" }, undefined]);
  const grpc = planTelemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4317", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" });
  assert.deepEqual([grpc.traces, grpc.metrics], new Array(2).fill({ exporter: "otlp", protocol: "grpc" }));
});

test("reads the samplers of the specification", () => {
  const sampler = (name?: string, ratio?: string) => planTelemetry({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }).sampler;
  assert.deepEqual(sampler(), { parentBased: true, ratio: 1 });
  assert.deepEqual(sampler("always_off"), { parentBased: false, ratio: 0 });
  assert.deepEqual(sampler("parentbased_always_on"), { parentBased: true, ratio: 1 });
  assert.deepEqual(sampler("parentbased_traceidratio", "0.01"), { parentBased: true, ratio: 0.01 });
  assert.deepEqual(sampler("traceidratio", "0.5"), { parentBased: false, ratio: 0.5 });
});

test("says what it cannot use and goes on", () => {
  const plan = planTelemetry({
    OTEL_TRACES_EXPORTER: "zipkin,console",
    OTEL_EXPORTER_OTLP_PROTOCOL: "thrift",
    OTEL_TRACES_SAMPLER: "jaeger_remote",
    OTEL_BSP_MAX_QUEUE_SIZE: "many",
  });
  assert.equal(plan.traces?.exporter, "console");
  assert.deepEqual([plan.sampler.ratio, plan.spans.queue], [1, 2_048]);
  assert.equal(plan.warnings.length, 4, plan.warnings.join("\n"));
});
