import { isCountable, isPausable, type Messenger, MessengerError, type Pausable, parseForeignQueue, type Transport } from "@symphony/core";
import { audited, operator } from "../../audited.ts";
import type { Io } from "../../io.ts";
import { plural, print } from "../../output.ts";
import { chosenTransports } from "../../session.ts";

export interface Everywhere {
  readonly action: "pause" | "resume";
  readonly type: string;
  /** Only on this transport. */
  readonly transport: string | undefined;
  readonly json: boolean;
}

/** Pauses or resumes a message type in every queue that there is now, on every transport that can do it. */
export async function everywhere(io: Io, messenger: Messenger, { action, type, transport, json }: Everywhere): Promise<void> {
  const able = chosenTransports(messenger, transport === undefined ? [] : [transport]).filter(
    (entry): entry is readonly [string, Transport & Pausable] => isPausable(entry[1]) && isCountable(entry[1]),
  );
  if (able.length === 0) throw new MessengerError("CAPABILITY_MISSING", "no transport can pause message types", { details: { transport } });
  const queues: { transport: string; queue: string; wasPaused?: boolean }[] = [];
  for (const [name, source] of able) {
    const found = isCountable(source)
      ? (await source.getCounts()).flatMap(({ queue }) => (parseForeignQueue(queue) === undefined ? [queue] : []))
      : [];
    await audited(source, { action, target: type, parameters: { queues: found } }, async () => {
      for (const queue of found) {
        if (action === "pause") await source.pauseQueue({ queue, type }, operator());
        const wasPaused = action === "resume" ? { wasPaused: await source.resumeQueue({ queue, type }) } : {};
        queues.push({ transport: name, queue, ...wasPaused });
      }
      return { value: null, count: 0 };
    });
  }
  const paused = action === "pause";
  const affected = paused ? queues : queues.filter((each) => each.wasPaused === true);
  print(
    io,
    json,
    { success: true, type, paused, queues },
    () => `${paused ? "paused" : "resumed"} ${type} in ${plural(affected.length, "queue")}`,
  );
}
