import { setTimeout as sleep } from "node:timers/promises";
import type { Producer, Target } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";
import { now } from "./ledger.ts";
import { type BenchPayload, payloadOf } from "./payload.ts";

/** What a sending process is told to do, one phase after the other. */
export interface ProduceOrder {
  readonly contestant: string;
  readonly target: Target;
  readonly phases: readonly Phase[];
  /** The first message's number. Default 0. */
  readonly from?: number;
}

export type Phase =
  /** As fast as it goes for so many milliseconds, with so many dispatches in flight, of so many messages each. */
  | { readonly kind: "flat-out"; readonly inFlight: number; readonly size: number; readonly ms: number }
  /** One message every so many milliseconds. */
  | { readonly kind: "paced"; readonly everyMs: number; readonly count: number }
  /** So many messages a second, in groups. */
  | { readonly kind: "rate"; readonly perSecond: number; readonly ms: number };

export interface PhaseReport {
  readonly sent: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
}

export type FromProducer = { readonly kind: "ready" } | { readonly kind: "done"; readonly phases: readonly PhaseReport[] };

/** Groups of a steady rate that may be on their way; more would be a queue in the wrong place. */
const MOST_GROUPS = 20;
const GROUP_MS = 10;

process.once("disconnect", () => process.exit(1));
process.once("message", (order: ProduceOrder) => {
  produce(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});

async function produce({ contestant, target, phases, from: start = 0 }: ProduceOrder): Promise<void> {
  const producer = await (await loadContestant(contestant)).produce(target);
  const reports: PhaseReport[] = [];
  const started = new Promise((resolve) => process.once("message", resolve));
  await send({ kind: "ready" });
  await started;
  const numbers = { next: start };
  for (const phase of phases) {
    const [cpu, from, first] = [process.cpuUsage(), now(), numbers.next];
    await run(phase, producer, numbers);
    const used = process.cpuUsage(cpu);
    reports.push({ sent: numbers.next - first, elapsedMs: now() - from, cpuMs: (used.user + used.system) / 1_000 });
  }
  await producer.close();
  await send({ kind: "done", phases: reports });
  process.exit(0);
}

async function run(phase: Phase, producer: Producer, numbers: { next: number }): Promise<void> {
  const fresh = (): BenchPayload => ({ ...payloadOf(numbers.next++), at: now() });
  const group = (size: number): Promise<unknown> =>
    size === 1 ? producer.one(fresh()) : producer.many(Array.from({ length: size }, () => fresh()));
  switch (phase.kind) {
    case "flat-out": {
      const until = now() + phase.ms;
      const loop = async (): Promise<void> => {
        while (now() < until) await group(phase.size);
      };
      await Promise.all(Array.from({ length: phase.inFlight }, loop));
      return;
    }
    case "paced": {
      const sends: Promise<unknown>[] = [];
      const from = now();
      for (let i = 0; i < phase.count; i++) {
        await sleep(Math.max(0, from + i * phase.everyMs - now()));
        sends.push(group(1));
      }
      await Promise.all(sends);
      return;
    }
    case "rate": {
      const flying = new Set<Promise<unknown>>();
      const from = now();
      const first = numbers.next;
      for (let at = now(); at < from + phase.ms; at = now()) {
        const owed = Math.floor(((at - from) / 1_000) * phase.perSecond) - (numbers.next - first);
        if (owed > 0) {
          const sending = group(owed).finally(() => flying.delete(sending));
          flying.add(sending);
        }
        if (flying.size >= MOST_GROUPS) await Promise.race(flying);
        await sleep(GROUP_MS);
      }
      await Promise.all(flying);
    }
  }
}

function send(message: FromProducer): Promise<void> {
  return new Promise((resolve, reject) => process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error))));
}
