import { MessengerError } from "../../errors.ts";
import { createJsonSerializer, type Serializer } from "../../serializer.ts";
import { deduplicate, idempotencyKey, partitionKey, queueName } from "../../stamps.ts";
import type { Receipt, Received, Rejection, SendResult } from "../../transport.ts";
import { MemoryTransport } from "../../transports/memory.ts";
import { testEnvelope } from "../envelopes.ts";
import { createManualRuntime } from "../manual-clock.ts";
import { describeTransportContract } from "../transport-contract.ts";

/**
 * Transports with one fault each, for `transport-contract.test.ts`: the suite must find every one of them. Not a test
 * file, because its tests have to fail.
 */
type Methods = MemoryTransport;
type Mutation = (right: Methods) => Partial<Methods>;

/** Replaces a receipt by that of the newest delivery, as a store without a fence would. */
function newestDelivery(right: Methods): { receive: Methods["receive"]; newest(receipt: Receipt): Receipt } {
  const newest = new Map<string, Receipt>();
  return {
    async receive(max, options) {
      const received = await right.receive(max, options);
      for (const { receipt } of received) newest.set(receipt.id, receipt);
      return received;
    },
    newest: (receipt) => newest.get(receipt.id) ?? receipt,
  };
}

const everyRejection = (right: Methods, change: (rejection: Rejection) => Rejection): Partial<Methods> => ({
  reject: (rejections) => right.reject(rejections.map(change)),
});

const retryDelay = (right: Methods, change: (ms: number) => number): Partial<Methods> =>
  everyRejection(right, (rejection) => ("retryInMs" in rejection ? { ...rejection, retryInMs: change(rejection.retryInMs) } : rejection));

const settledBack = (settled: Awaited<ReturnType<Methods["acknowledge"]>>, receipts: readonly Receipt[]) =>
  settled.map((each, i) => ({ ...each, receipt: receipts[i] as Receipt }));

/** Fault → what it does wrong. The key is a fault and, after the arrow, words of a test that must find it. */
export const MUTANTS: Readonly<Record<string, Mutation>> = {
  "acknowledges without a fence -> refuses the acknowledgement of an earlier delivery": (right) => {
    const { receive, newest } = newestDelivery(right);
    return { receive, acknowledge: async (receipts) => settledBack(await right.acknowledge(receipts.map(newest)), receipts) };
  },
  "rejects without a fence -> refuses the dead letter of an earlier delivery": (right) => {
    const { receive, newest } = newestDelivery(right);
    const current = (rejection: Rejection): Rejection => ({ ...rejection, receipt: newest(rejection.receipt) });
    const receiptsOf = (rejections: readonly Rejection[]) => rejections.map((each) => each.receipt);
    return { receive, reject: async (rejections) => settledBack(await right.reject(rejections.map(current)), receiptsOf(rejections)) };
  },
  "answers lease_lost as settled -> refuses to settle a delivery that was given back": (right) => ({
    acknowledge: async (receipts) => (await right.acknowledge(receipts)).map((each) => ({ ...each, status: "settled" })),
  }),
  "loses the patch -> stores what a rejection changes": (right) => everyRejection(right, ({ patch: _, ...rest }) => rest as Rejection),
  "replaces the counters by zero -> stores what a rejection changes": (right) =>
    everyRejection(right, (rejection) => ({
      ...rejection,
      patch: { tries: { failures: 0, crashes: 0, interruptions: 0 }, ...rejection.patch },
    })),
  "retries at once -> retries after the delay it was given": (right) => retryDelay(right, () => 0),
  "retries a little early -> retries after the delay it was given": (right) => retryDelay(right, (ms) => ms * 0.99),
  "rounds retry delays up to seconds -> keeps retry delays to the millisecond": (right) =>
    retryDelay(right, (ms) => Math.ceil(ms / 1000) * 1000),
  "releases with a delay -> releases to the head of the queue": (right) =>
    everyRejection(right, (rejection) => ("release" in rejection ? { receipt: rejection.receipt, retryInMs: 1 } : rejection)),
  "loses dead letters -> lists a dead letter with its record unchanged": (right) => ({
    async reject(rejections) {
      const lost = rejections.filter((rejection) => "deadLetter" in rejection).map((rejection) => rejection.receipt);
      const settled = await right.acknowledge(lost);
      return [...settled, ...(await right.reject(rejections.filter((rejection) => !("deadLetter" in rejection))))];
    },
  }),
  "receives in the wrong order -> receives by priority": (right) => ({
    receive: async (max, options) => [...(await right.receive(max, options))].reverse(),
  }),
  "receives more than asked for -> receives no more than it was asked for": (right) => ({
    receive: (max, options) => right.receive(max === 0 ? 0 : max + 1, options),
  }),
  "delivers now and then twice -> never delivers one message to two": (right) => {
    let calls = 0;
    let before: readonly Received[] = [];
    return {
      async receive(max, options) {
        const received = await right.receive(max, options);
        calls += 1;
        const twice =
          calls % 20 === 0 && received.length > 1 && before.length > 0 ? [...received.slice(1), ...before.slice(0, 1)] : received;
        before = received;
        return twice;
      },
    };
  },
  "drops what it cannot decode -> returns a record that cannot be decoded": (right) => ({
    receive: async (max, options) => (await right.receive(max, options)).filter((each) => each.decodeError === undefined),
  }),
  "forgets the order of queues -> takes nothing from a queue while an earlier one has messages": (right) => ({
    receive: (max, options) => right.receive(max, { ...options, queues: [...(options.queues ?? [])].sort() }),
  }),
  "ignores maxBytes -> stops at maxBytes": (right) => ({
    receive: (max, { maxBytes: _, ...options }) => right.receive(max, options),
  }),
  "forgets riding acknowledgements of an empty receive -> acknowledges with a receive of nothing": (right) => ({
    receive: async (max, options) => (max === 0 ? [] : right.receive(max, options)),
  }),
  "does not tell what became of riding acknowledgements -> acknowledges in the same call": (right) => ({
    receive: (max, { onSettled: _, ...options }) => right.receive(max, options),
  }),
  "stops sending at the first refusal -> answers per envelope": (right) => ({
    async send(envelopes, options) {
      const results: SendResult[] = [];
      for (const envelope of envelopes) {
        const before = results.at(-1);
        results.push(...(before?.kind === "refused" ? [before] : await right.send([envelope], options)));
      }
      return results;
    },
  }),
  "knows no idempotency keys -> makes one message of fifty concurrent sends": (right) => ({
    send: (envelopes, options) =>
      right.send(
        envelopes.map((envelope) => envelope.without(idempotencyKey)),
        options,
      ),
  }),
  "knows no deduplication keys -> answers with the message that is not finished": (right) => ({
    send: (envelopes, options) =>
      right.send(
        envelopes.map((envelope) => envelope.without(deduplicate)),
        options,
      ),
  }),
  "knows no partition keys -> delivers the messages of a key one at a time": (right) => ({
    send: (envelopes, options) =>
      right.send(
        envelopes.map((envelope) => envelope.without(partitionKey)),
        options,
      ),
  }),
  "takes a conflict for a duplicate -> refuses a known idempotency key for another message": (right) => ({
    send: async (envelopes, options) =>
      (await right.send(envelopes, options)).map((result) =>
        result.kind === "refused" && result.error.code === "IDEMPOTENCY_CONFLICT" ? { kind: "duplicate", id: "?", queue: "?" } : result,
      ),
  }),
  "ignores the cursor -> pages by cursor": (right) => ({
    listDeadLetters: (filter, { cursor: _, ...page }) => right.listDeadLetters(filter, page),
  }),
  "ignores the offset -> pages by offset": (right) => ({
    listDeadLetters: (filter, { offset: _, ...page }) => right.listDeadLetters(filter, page),
  }),
  "takes until for inclusive -> filters by time": (right) => ({
    listDeadLetters: (filter, page) =>
      right.listDeadLetters(
        filter.until === undefined ? filter : { ...filter, until: new Date(Date.parse(filter.until) + 1).toISOString() },
        page,
      ),
  }),
  "redrives everything -> redrives no more than the limit": (right) => ({
    redriveDeadLetters: (filter) => right.redriveDeadLetters(filter, 1000),
  }),
  "removes without looking at the filter -> removes dead letters for good, and only those": (right) => ({
    removeDeadLetters: (_, limit) => right.removeDeadLetters({}, limit),
  }),
  "counts the depth with what is for later -> counts in getQueueDepth": (right) => ({
    getQueueDepth: async () => (await right.getCounts()).reduce((sum, each) => sum + each.ready + each.scheduled, 0),
  }),
  "counts nothing as completed -> counts per queue": (right) => ({
    getCounts: async () => (await right.getCounts()).map((each) => ({ ...each, completed: 0 })),
  }),
  "loses what a worker held that retires -> keeps every message in exactly one place": (right) => {
    const held = new Map<string, Receipt[]>();
    return {
      async receive(max, options) {
        const received = await right.receive(max, options);
        held.set(options.workerId, [...(held.get(options.workerId) ?? []), ...received.map(({ receipt }) => receipt)]);
        return received;
      },
      async retire(workerId) {
        const lost = (await right.acknowledge(held.get(workerId) ?? [])).filter(({ status }) => status === "settled");
        await right.retire(workerId);
        return { messages: lost.length };
      },
    };
  },
  "welcomes the dead -> tells a reaped worker so": (right) => ({
    beat: async (worker, inFlight) => (await right.beat(worker, inFlight)) || true,
  }),
  "reaps the living -> gives the messages of a worker that stopped beating to others": (right) => ({
    reap: () => right.reap(0),
  }),
  "reaps nobody -> gives the messages of a worker that stopped beating to others": () => ({
    reap: async () => ({ workers: [], messages: 0 }),
  }),
  "suspects nobody -> takes back what a dead process held as suspects": (right) => ({
    retireAsSuspects: (workerId) => right.retire(workerId),
  }),
  "tells nobody that it was reaped -> names in a pulse the workers that were reaped": (right) => ({
    pulse: async (workers) => ({ ...(await right.pulse(workers)), lost: [] }),
  }),
  "adopts without a new fence -> passes deliveries to another worker": (right) => ({
    async adopt(receipts, workerId) {
      const adopted = await right.adopt(receipts, workerId);
      return adopted.map((each) => ({ ...each, receipt: receipts.find((receipt) => receipt.id === each.receipt.id) ?? each.receipt }));
    },
  }),
  "gives out what is paused -> goes on giving out the other queues while one is paused": () => ({ pauseQueue: async () => undefined }),
  "pauses all types -> resumes one of two paused types": (right) => ({
    pauseQueue: ({ queue }, by) => right.pauseQueue({ queue }, by),
  }),
  "forgets who paused -> lists who paused what": (right) => ({ pauseQueue: (target) => right.pauseQueue(target) }),
  "purges whatever is expected -> purges nothing when another number waits": (right) => ({
    purgeQueue: (queue, { expectedCount: _, ...options } = {}) => right.purgeQueue(queue, options),
  }),
  "purges all types -> purges one type": (right) => ({
    purgeQueue: (queue, { type: _, expectedCount: __ } = {}) => right.purgeQueue(queue),
  }),
  "cannot close twice -> closes twice": (right) => {
    let closed = false;
    return {
      async close() {
        if (closed) throw new MessengerError("MESSENGER_CLOSED", "closed already");
        closed = true;
        await right.close();
      },
    };
  },
};

const json = createJsonSerializer();
const serializer: Serializer = {
  encode: (envelope) => (envelope.message.type === "raw" ? (envelope.message.payload as string) : json.encode(envelope)),
  decode: json.decode,
};

function mutated(right: MemoryTransport, mutation: Mutation): MemoryTransport {
  const wrong = mutation(right) as Record<string | symbol, unknown>;
  return new Proxy(right, {
    get(target, key) {
      const value = wrong[key] ?? Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(key in wrong ? wrong : target) : value;
    },
  });
}

if (process.env.SYMPHONY_TEST_MUTANTS === "1") {
  for (const [fault, mutation] of Object.entries(MUTANTS)) {
    describeTransportContract(fault, {
      async create({ queues }) {
        const runtime = createManualRuntime();
        const right = new MemoryTransport({ queues, runtime, serializer });
        return {
          transport: mutated(right, mutation),
          close: () => right.close(),
          async corrupt({ queue, body }) {
            const [result] = await right.send([testEnvelope("raw", body, [queueName({ queue })])]);
            return result?.kind === "accepted" ? result.id : "";
          },
          advance: (ms) => runtime.clock.advance(ms),
          now: () => runtime.clock.now(),
          // One that meets every fault: two of three random sequences do.
          seed: 3,
        };
      },
    });
  }
}
