export * from "./api-client.ts";
export * from "./autoscaler.ts";
export * from "./decide-replicas.ts";
export * from "./deletion-cost.ts";
export * from "./event-writer.ts";
export * from "./guarded-scale.ts";
export * from "./kubectl.ts";
