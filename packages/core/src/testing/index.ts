export type { OpenTransaction, TransportCapability, TransportContractHarness, TransportFixture } from "./contract/harness.ts";
export * from "./envelopes.ts";
export * from "./manual-clock.ts";
export * from "./recording-logger.ts";
export * from "./signals.ts";
export * from "./transport-contract.ts";
export * from "./wait-for.ts";
