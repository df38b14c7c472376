import { createJsonSerializer, type Serializer } from "../serializer.ts";
import { queueName } from "../stamps.ts";
import { createManualRuntime, describeTransportContract, type TransportFixture, testEnvelope } from "../testing/index.ts";
import type { Transport } from "../transport.ts";
import { createMemoryTransport, type MemoryTransportOptions } from "./memory.ts";

const json = createJsonSerializer();

/** Writes messages of the type "raw" as the text that they hold: the way to rows that no program of ours wrote. */
const serializer: Serializer = {
  encode: (envelope) => (envelope.message.type === "raw" ? (envelope.message.payload as string) : json.encode(envelope)),
  decode: json.decode,
};

let stores = 0;

function openFixture(options: MemoryTransportOptions): TransportFixture & { readonly options: MemoryTransportOptions } {
  stores += 1;
  const shared = { name: `contract-${stores}`, serializer, ...options };
  const opened = [createMemoryTransport(shared)];
  const transport = opened[0] as Transport;
  return {
    options: shared,
    transport,
    async reopen() {
      const other = createMemoryTransport(shared);
      opened.push(other);
      return other;
    },
    async close() {
      for (const each of opened) await each.close();
    },
    async corrupt({ queue, body }) {
      const [result] = await transport.send([testEnvelope("raw", body, [queueName({ queue })])]);
      if (result?.kind !== "accepted") throw new Error("the raw row was not accepted");
      return result.id;
    },
  };
}

const capabilities = [
  "countable",
  "listable",
  "groupable",
  "wakeable",
  "closeable",
  "reapable",
  "supervisable",
  "schedulable",
  "redrivable",
  "requestKeeping",
  "auditable",
  "pausable",
  "findable",
  "cancellable",
  "purgeable",
  "forwardable",
] as const;

describeTransportContract("memory, manual clock", {
  capabilities,
  async create({ queues }) {
    const runtime = createManualRuntime();
    const fixture = openFixture({ queues, runtime });
    return { ...fixture, advance: (ms) => runtime.clock.advance(ms), now: () => runtime.clock.now() };
  },
});

describeTransportContract("memory, real clock", {
  capabilities,
  create: async ({ queues }) => openFixture({ queues }),
});
