import type { Receipt, ReceiveOptions, Rejection, Transport } from "@symphony/core";
import { describeTransportContract } from "@symphony/core/testing";
import type { PgBossTransport } from "./index.ts";
import { ALL_CAPABILITIES, contractFixture, TestSchema, testDatabase } from "./testing/database.ts";

const url = await testDatabase();

/** One transport that takes turns: every operation goes another way than the one before it. */
function alternating(one: PgBossTransport, two: PgBossTransport): PgBossTransport {
  let turn = 0;
  const next = (): Transport => (turn++ % 2 === 0 ? one : two);
  return new Proxy(one, {
    get(target, property) {
      if (property === "send") return (...args: Parameters<Transport["send"]>) => next().send(...args);
      if (property === "receive") return (max: number, options: ReceiveOptions) => next().receive(max, options);
      if (property === "acknowledge") return (receipts: readonly Receipt[]) => next().acknowledge(receipts);
      if (property === "reject") return (rejections: readonly Rejection[]) => next().reject(rejections);
      const value: unknown = Reflect.get(target, property);
      // Whoever asks nobody hears of a pause a second later; the contract does not say where one was told of it.
      if (property === "pauseQueue" || property === "resumeQueue")
        return async (...args: unknown[]) => {
          const result: unknown = await (value as (...args: unknown[]) => Promise<unknown>).apply(target, args);
          await two.listPauses();
          return result;
        };
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

// What one way wrote, the other must be able to go on with; the contract does not change with who does what.
for (const [name, first] of [
  ["own statements first", "auto"],
  ["public API first", "portable"],
] as const) {
  // Each way makes its queues.
  const schema = new TestSchema(url);
  describeTransportContract(`pgboss, both ways in turn, ${name}`, {
    capabilities: ALL_CAPABILITIES,
    create: async ({ queues }) => {
      const second = first === "auto" ? "portable" : "auto";
      const fixture = await contractFixture(schema, queues, { first: { path: first }, second: { path: second } });
      const other = (await fixture.reopen?.()) as PgBossTransport;
      return { ...fixture, transport: alternating(fixture.transport as PgBossTransport, other) };
    },
  });
}
