import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger, systemClock, type Transport } from "@symphony/core";
import type { Child } from "./child-process.ts";
import { WakeFan } from "./wake-fan.ts";

test("says which queues were notified to the child with the most room, and nothing of queues when it only knows that there is something", async () => {
  const sent: unknown[] = [];
  const child = (name: string, room: number) =>
    ({
      freeSlots: () => room,
      isReceiving: () => true,
      lastPollOf: () => undefined,
      send: (message: object) => sent.push({ to: name, ...message }),
    }) as unknown as Child;
  let notify: (queues: readonly string[]) => void = () => assert.fail("nobody listens");
  const transport = {
    onWake: async (listener: typeof notify) => {
      notify = listener;
      return async () => {};
    },
  } as unknown as Transport;
  const fan = new WakeFan({
    transports: { default: transport },
    queues: undefined,
    pollIntervalMs: 60_000,
    children: () => [child("busy", 1), child("free", 5)],
    isPaused: () => false,
    onStuck: () => undefined,
    clock: systemClock,
    logger: silentLogger,
  });
  await fan.start();
  notify(["mails"]);
  fan.wake("default");
  await fan.stop();
  const wake = { to: "free", kind: "wake", transport: "default" };
  assert.deepEqual(sent, [
    { ...wake, queues: ["mails"] },
    { ...wake, queues: [] },
  ]);
});
