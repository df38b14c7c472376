import { seededRandom } from "../manual-clock.ts";
import type { TransportContractHarness } from "./harness.ts";
import { type Claim, ContractKit, queueNames } from "./kit.ts";
import { OPERATION_KINDS, type Operation, PlaceModel } from "./place-model.ts";

const QUEUES = 2;
/** As many kinds are sends and receives: else there is seldom anything to do something to. */
const OFTEN = ["send", "send", "send", "send", "receive", "receive", "receive", "acknowledge"] as const;
const KINDS = [...OPERATION_KINDS, ...OFTEN];

/** One operation out of three whole numbers, 0 or more; for generators of random lists. */
export function operationOf([kind, a, b]: readonly [number, number, number]): Operation {
  return { kind: KINDS[kind % KINDS.length] ?? "send", a, b };
}

/**
 * Does these operations, one after the other, to a transport of its own, and checks after each of them that every
 * message is in exactly one place; then handles what is left.
 *
 * @throws {Error} naming the operation after which something was not where it must be.
 */
export async function checkPlaces(harness: TransportContractHarness, operations: readonly Operation[]): Promise<void> {
  const queues = queueNames(QUEUES);
  const fixture = await harness.create({ queues });
  try {
    const model = new PlaceModel(new ContractKit(fixture, queues));
    await model.run(operations);
    await model.finish();
  } finally {
    await fixture.close();
  }
}

export function placeTests(claim: Claim): void {
  claim(
    "keeps every message in exactly one place, whatever happens to it, and gives out the most urgent one",
    async (kit) => {
      const { seed } = kit;
      const random = seededRandom(seed);
      const number = (): number => Math.floor(random() * 1_000);
      const steps = kit.fixture.advance === undefined ? 60 : 200;
      const model = new PlaceModel(kit);
      try {
        await model.run(Array.from({ length: steps }, () => operationOf([number(), number(), number()])));
        await model.finish();
      } catch (error) {
        throw new Error(`with the seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    },
    { queues: QUEUES },
  );
}
