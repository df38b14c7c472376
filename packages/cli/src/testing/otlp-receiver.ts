import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

export interface ReceivedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2: error. */
  readonly status: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  /** Process id of the sender. */
  readonly pid: string;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** Every body as it came. */
  readonly text: () => string;
  /** Names of the metrics that came in the last push of each sender. */
  readonly metrics: Map<string, unknown[]>;
  /** Who spoke, in every body. */
  readonly resources: { readonly signal: "traces" | "metrics"; readonly attributes: Readonly<Record<string, string>> }[];
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface SpanBody {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly Attribute[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: number };
}

interface Body {
  readonly resourceSpans?: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly SpanBody[] }[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}

const plain = (attributes: readonly Attribute[] = []): Record<string, string> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]));

/** A collector that keeps what it is sent, for programs with `OTEL_EXPORTER_OTLP_PROTOCOL=http/json`. */
export async function otlpReceiver(t: TestContext): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const metrics = new Map<string, unknown[]>();
  const bodies: string[] = [];
  const resources: OtlpReceiver["resources"] = [];
  const server = createServer((request, response) => {
    void read(request).then((text) => {
      bodies.push(text);
      const body = JSON.parse(text) as Body;
      for (const { resource } of body.resourceSpans ?? []) resources.push({ signal: "traces", attributes: plain(resource.attributes) });
      for (const { resource } of body.resourceMetrics ?? []) resources.push({ signal: "metrics", attributes: plain(resource.attributes) });
      for (const { resource, scopeSpans } of body.resourceSpans ?? []) {
        const pid = plain(resource.attributes)["process.pid"] ?? "";
        for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
          const { attributes, links = [], status, ...rest } = span;
          spans.push({ ...rest, links, attributes: plain(attributes), status: status?.code ?? 0, pid });
        }
      }
      const pushed = (body.resourceMetrics ?? []).flatMap((each) => each.scopeMetrics.flatMap((scope) => scope.metrics));
      for (const metric of pushed) metrics.set(metric.name, [metric]);
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, spans, metrics, resources, text: () => bodies.join("\n") };
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
