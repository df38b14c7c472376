import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decideReplicas, NO_MEMORY, type ScalingLimits, type ScalingMemory, STABILISATION_MS } from "./decide-replicas.ts";

const limits: ScalingLimits = { minReplicas: 2, maxReplicas: 20, targetBacklogPerReplica: 100, slotsPerReplica: 10 };
const anyLimits = fc
  .record({
    minReplicas: fc.nat(20),
    more: fc.nat(50),
    targetBacklogPerReplica: fc.integer({ min: 1, max: 1_000 }),
    slotsPerReplica: fc.integer({ min: 1, max: 100 }),
  })
  .map(({ more, ...rest }): ScalingLimits => ({ ...rest, maxReplicas: Math.max(1, rest.minReplicas + more) }));
const anyLoad = fc.record({ ready: fc.nat(100_000), active: fc.nat(5_000) });
const anyTrace = fc.array(fc.record({ load: fc.option(anyLoad, { nil: undefined }), afterMs: fc.integer({ min: 1, max: 120_000 }) }), {
  minLength: 1,
  maxLength: 60,
});

interface Step {
  readonly before: number;
  readonly after: number;
  readonly now: number;
  readonly load: { readonly ready: number; readonly active: number } | undefined;
}

function replay(of: ScalingLimits, from: number, trace: readonly { load: Step["load"]; afterMs: number }[]): readonly Step[] {
  let current = from;
  let memory: ScalingMemory = NO_MEMORY;
  let now = 0;
  return trace.map(({ load, afterMs }) => {
    now += afterMs;
    const before = current;
    ({ replicas: current, memory } = decideReplicas({ current, load, now }, of, memory));
    return { before, after: current, now, load };
  });
}

const wantOf = ({ load }: Step, of: ScalingLimits): number =>
  load === undefined
    ? 0
    : Math.min(of.maxReplicas, Math.max(of.minReplicas, Math.ceil((load.ready + load.active) / of.targetBacklogPerReplica)));

describe("decideReplicas", () => {
  test("stays within its bounds, whatever happens", () => {
    fc.assert(
      fc.property(anyLimits, fc.nat(200), anyTrace, (of, from, trace) => {
        for (const { after } of replay(of, from, trace)) assert.ok(after >= of.minReplicas && after <= of.maxReplicas, String(after));
      }),
    );
  });

  test("never wants fewer for more messages", () => {
    fc.assert(
      fc.property(anyLimits, fc.nat(70), anyLoad, fc.nat(50_000), (of, current, load, more) => {
        const decide = (ready: number) => decideReplicas({ current, load: { ...load, ready }, now: 0 }, of, NO_MEMORY).replicas;
        assert.ok(decide(load.ready + more) >= decide(load.ready));
      }),
    );
  });

  test("changes nothing within its bounds while nobody knows the load", () => {
    fc.assert(
      fc.property(anyLimits, fc.nat(200), fc.array(fc.integer({ min: 1, max: 600_000 }), { minLength: 1 }), (of, from, gaps) => {
        const steps = replay(
          of,
          from,
          gaps.map((afterMs) => ({ load: undefined, afterMs })),
        );
        const bounded = Math.min(of.maxReplicas, Math.max(of.minReplicas, from));
        for (const { after } of steps) assert.equal(after, bounded);
      }),
    );
  });

  test("never scales in below what was wanted within the window, nor below its busy slots, nor by more than a quarter, nor twice a minute", () => {
    fc.assert(
      fc.property(anyLimits, fc.nat(70), anyTrace, (of, from, trace) => {
        const steps = replay(of, from, trace);
        let last = Number.NEGATIVE_INFINITY;
        for (const [i, step] of steps.entries()) {
          if (step.after >= step.before || step.before > of.maxReplicas) continue;
          const recent = steps.slice(0, i + 1).filter(({ now }) => now > step.now - STABILISATION_MS);
          assert.ok(step.after >= Math.max(...recent.map((each) => wantOf(each, of))));
          assert.ok(step.after >= Math.min(of.maxReplicas, Math.ceil((step.load?.active ?? 0) / of.slotsPerReplica)));
          assert.ok(step.before - step.after <= Math.max(1, step.before / 4));
          assert.ok(step.now - last >= 60_000);
          last = step.now;
        }
      }),
      { numRuns: 500 },
    );
  });

  test("does not flap on noise: a backlog that comes and goes within the window never makes it smaller", () => {
    const trace = Array.from({ length: 200 }, (_, i) => ({ load: { ready: i % 4 === 0 ? 1_000 : 0, active: 5 }, afterMs: 15_000 }));
    const steps = replay(limits, 10, trace);
    for (const { before, after } of steps) assert.ok(after >= before);
  });

  test("goes out within two looks, from none as well, and comes in step by step when it has been idle", () => {
    const up = replay(
      { ...limits, minReplicas: 0 },
      0,
      Array.from({ length: 4 }, () => ({ load: { ready: 1_900, active: 0 }, afterMs: 15_000 })),
    );
    assert.deepEqual(
      up.map(({ after }) => after),
      [4, 8, 16, 19],
    );
    const down = replay(
      limits,
      16,
      Array.from({ length: 80 }, () => ({ load: { ready: 0, active: 0 }, afterMs: 15_000 })),
    );
    assert.equal(down.at(-1)?.after, 2);
    const firstStep = down.find(({ before, after }) => after < before);
    assert.equal(firstStep?.after, 12);
  });
});
