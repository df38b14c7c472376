/**
 * The standard `OTEL_*` variables, as far as this package decides by them; endpoints, headers, timeouts and compression
 * are read by the exporters themselves. As the specification wants it, a value that cannot be used is said and ignored.
 */

type Environment = Readonly<Record<string, string | undefined>>;

export type Protocol = "grpc" | "http/protobuf" | "http/json";

export interface SignalPlan {
  readonly exporter: "otlp" | "console";
  readonly protocol: Protocol;
}

export interface SamplerPlan {
  readonly parentBased: boolean;
  /** 0 to 1: the share of traces that is kept. */
  readonly ratio: number;
}

export interface TelemetryPlan {
  /** Absent: no spans are made. */
  readonly traces?: SignalPlan;
  /** Absent: metrics are not pushed; `/metrics` is there all the same. */
  readonly metrics?: SignalPlan;
  readonly sampler: SamplerPlan;
  /** Milliseconds between two exports of metrics. */
  readonly metricIntervalMs: number;
  readonly spans: { readonly delayMs: number; readonly timeoutMs: number; readonly queue: number; readonly batch: number };
  /** Values that could not be used. */
  readonly warnings: readonly string[];
}

const PROTOCOLS: ReadonlySet<string> = new Set<Protocol>(["grpc", "http/protobuf", "http/json"]);

/** Pure. What these variables ask for; nothing when none of them names an endpoint or an exporter. */
export function planTelemetry(environment: Environment): TelemetryPlan {
  const warnings: string[] = [];
  const read = (name: string): string | undefined => (environment[name]?.trim() === "" ? undefined : environment[name]?.trim());
  const number = (name: string, otherwise: number, max = 2 ** 31 - 1): number => {
    const value = Number(read(name) ?? otherwise);
    if (value >= 0 && value <= max) return value;
    warnings.push(`${name} must be a number from 0 to ${max}: going on with ${otherwise}`);
    return otherwise;
  };
  const disabled = read("OTEL_SDK_DISABLED")?.toLowerCase() === "true";
  const signal = (name: "TRACES" | "METRICS"): SignalPlan | undefined => (disabled ? undefined : planSignal(name, read, warnings));
  const traces = signal("TRACES");
  const metrics = signal("METRICS");
  const queue = Math.max(1, number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048));
  return {
    ...(traces === undefined ? {} : { traces }),
    ...(metrics === undefined ? {} : { metrics }),
    sampler: planSampler(read("OTEL_TRACES_SAMPLER"), () => number("OTEL_TRACES_SAMPLER_ARG", 1, 1), warnings),
    metricIntervalMs: Math.max(100, number("OTEL_METRIC_EXPORT_INTERVAL", 60_000)),
    spans: {
      // Sooner than the specification's 5 s: a pool thread may be ended at any time.
      delayMs: number("OTEL_BSP_SCHEDULE_DELAY", 1_000),
      timeoutMs: Math.max(1, number("OTEL_BSP_EXPORT_TIMEOUT", 30_000)),
      queue,
      batch: Math.min(queue, Math.max(1, number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))),
    },
    warnings,
  };
}

function planSignal(name: "TRACES" | "METRICS", read: (name: string) => string | undefined, warnings: string[]): SignalPlan | undefined {
  const endpoint = read(`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`) ?? read("OTEL_EXPORTER_OTLP_ENDPOINT");
  const asked = read(`OTEL_${name}_EXPORTER`)
    ?.split(",")
    .map((one) => one.trim());
  // What is scraped is served in any case.
  const wanted = (asked ?? (endpoint === undefined ? ["none"] : ["otlp"])).filter((one) => one !== "none" && one !== "prometheus");
  const exporter = wanted.find((one) => one === "otlp" || one === "console");
  for (const one of wanted) if (one !== exporter) warnings.push(`OTEL_${name}_EXPORTER: "${one}" is left out (otlp, console or none)`);
  if (exporter === undefined) return undefined;
  const own = `OTEL_EXPORTER_OTLP_${name}_PROTOCOL`;
  const protocol = read(own) ?? read("OTEL_EXPORTER_OTLP_PROTOCOL") ?? "http/protobuf";
  const isKnown = PROTOCOLS.has(protocol);
  const variable = read(own) === undefined ? "OTEL_EXPORTER_OTLP_PROTOCOL" : own;
  if (!isKnown) warnings.push(`${variable}: "${protocol}" is not ${[...PROTOCOLS].join(", ")}: going on with http/protobuf`);
  return { exporter: exporter as SignalPlan["exporter"], protocol: isKnown ? (protocol as Protocol) : "http/protobuf" };
}

function planSampler(name: string | undefined, ratio: () => number, warnings: string[]): SamplerPlan {
  const parentBased = name === undefined || name.startsWith("parentbased_");
  switch (name?.replace(/^parentbased_/, "")) {
    case undefined:
    case "always_on":
      return { parentBased, ratio: 1 };
    case "always_off":
      return { parentBased, ratio: 0 };
    case "traceidratio":
      return { parentBased, ratio: ratio() };
    default:
      warnings.push(`OTEL_TRACES_SAMPLER: "${name}" is not known: keeping every trace whose parent is kept`);
      return { parentBased: true, ratio: 1 };
  }
}
