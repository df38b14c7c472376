/** The names themselves are in core, which records by them. */
export {
  ATTRIBUTES,
  DURATION_BUCKETS_S,
  LOG_FIELDS,
  MESSAGING_SYSTEM,
  METRICS,
  type MetricDefinition,
  OPERATIONS,
  type Operation,
  prometheusName,
  SCHEMA_URL,
  SEMANTIC_CONVENTIONS_VERSION,
  spanName,
} from "@symphony/core";
