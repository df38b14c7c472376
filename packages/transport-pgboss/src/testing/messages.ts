import assert from "node:assert/strict";
import { type Envelope, type Failure, type Received, type Stamp, stamps } from "@symphony/core";
import { testEnvelope } from "@symphony/core/testing";
import type { PgBossTransport } from "../index.ts";

export const WORKER = "test-worker";

export const message = (queue: string, payload: unknown = {}, ...more: readonly Stamp[]): Envelope =>
  testEnvelope("test.message", payload, [stamps.queueName({ queue }), ...more]);

export const messages = (queue: string, count: number, ...more: readonly Stamp[]): Envelope[] =>
  Array.from({ length: count }, (_, n) => message(queue, { n }, ...more));

/** Sends; all must be accepted. */
export async function send(transport: PgBossTransport, ...envelopes: readonly Envelope[]): Promise<string[]> {
  return (await transport.send(envelopes)).map((result) => {
    assert.equal(result.kind, "accepted", result.kind === "refused" ? result.error.message : undefined);
    return result.kind === "accepted" ? result.id : "";
  });
}

export const receive = (transport: PgBossTransport, queue: string, max = 100): Promise<readonly Received[]> =>
  transport.receive(max, { workerId: WORKER, queues: [queue] });

/** Receives the one message that must be waiting. */
export async function one(transport: PgBossTransport, queue: string): Promise<Received> {
  const received = await receive(transport, queue, 1);
  assert.equal(received.length, 1, "a message is waiting");
  return received[0] as Received;
}

export const beat = (transport: PgBossTransport, workerId = WORKER): Promise<boolean> =>
  transport.beat({ workerId, hostname: "test", pid: process.pid, queues: [], slots: 1 }, 0);

export const failure = (more: Partial<Failure> = {}): Failure => ({
  reason: "unrecoverable",
  error: { name: "Error", message: "it broke" },
  fingerprint: "0123456789abcdef",
  attempts: 1,
  workerId: WORKER,
  ...more,
});

export async function bury(transport: PgBossTransport, received: Received): Promise<void> {
  const settled = await transport.reject([{ receipt: received.receipt, deadLetter: failure() }]);
  assert.equal(settled[0]?.status, "settled");
}
