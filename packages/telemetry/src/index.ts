export * from "./line-writer.ts";
export * from "./logger.ts";
export * from "./names.ts";
export * from "./prometheus.ts";
