import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import { type ISerializer, ProtobufTraceSerializer, TraceExporterMetricsHelper } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { encodeSpans } from "./span-encoder.ts";

const HEADERS = { "Content-Type": "application/x-protobuf" };

const serializer: ISerializer<ReadableSpan[], unknown> = {
  serializeRequest: encodeSpans,
  deserializeResponse: (data) => ProtobufTraceSerializer.deserializeResponse(data),
};

/** The SDK's exporter over HTTP, set up by the same `OTEL_EXPORTER_OTLP_*` variables, with an encoder of our own. */
export function createProtobufExporter(): SpanExporter {
  const options = convertLegacyHttpOptions({}, "TRACES", "v1/traces", HEADERS);
  return new OTLPExporterBase(
    createOtlpHttpExportDelegate(
      options,
      serializer as typeof ProtobufTraceSerializer,
      "otlp_http_span_exporter",
      TraceExporterMetricsHelper,
      undefined,
    ),
  );
}
