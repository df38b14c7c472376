export type { OpenTransaction, TransportCapability, TransportContractHarness, TransportFixture } from "./contract/harness.ts";
export type { Operation, OperationKind } from "./contract/place-model.ts";
export { checkPlaces, operationOf } from "./contract/places.ts";
export * from "./envelopes.ts";
export * from "./manual-clock.ts";
export * from "./recording-logger.ts";
export * from "./signals.ts";
export * from "./transport-contract.ts";
export * from "./wait-for.ts";
