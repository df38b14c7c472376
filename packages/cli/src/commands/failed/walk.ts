import type { DeadLetter, DeadLetterFilter, Listable, Transport } from "@symphony/core";
import { audited } from "../../audited.ts";
import { toFailedMessage } from "../../failed-message.ts";
import type { Io } from "../../io.ts";
import { plural } from "../../output.ts";
import { Questions } from "../../questions.ts";
import { toText } from "./show.ts";

export type Walkable = readonly [name: string, transport: Transport & Listable];

export interface Walked {
  readonly retried: readonly string[];
  readonly removed: readonly string[];
  readonly skipped: readonly string[];
  /** Could not be put back: its queue has a message with this id or key, or is gone. */
  readonly conflicts: readonly string[];
}

const PAGE = 50;
const QUESTION = "Retry, delete or skip it, or quit? [r/d/s/q] ";

/**
 * Shows one failed message after the other, the newest first, and asks what is to become of it. Each answer is carried out
 * at once: whoever quits, or is interrupted, keeps what was done. What fails again meanwhile does not come up again.
 *
 * @param o.most - Messages to ask about.
 */
export async function walk(
  io: Io,
  transports: readonly Walkable[],
  o: { readonly filter: DeadLetterFilter; readonly most: number; readonly total: number },
): Promise<Walked> {
  const walked = { retried: [] as string[], removed: [] as string[], skipped: [] as string[], conflicts: [] as string[] };
  const questions = new Questions(io);
  let number = 0;
  try {
    for await (const [name, transport, letter] of lettersOf(transports, o.filter)) {
      number += 1;
      if (number > o.most) break;
      io.out(`${number} of ${o.total}\n${toText(toFailedMessage(name, letter, { payload: true }))}\n\n`);
      const answer = await answerOf(questions);
      if (answer === "q") break;
      await carryOut(answer, transport, letter.id, walked);
    }
  } finally {
    questions.close();
  }
  return walked;
}

type Answer = "r" | "d" | "s" | "q";

const ANSWERS: Readonly<Record<string, Answer>> = { retry: "r", delete: "d", skip: "s", quit: "q", r: "r", d: "d", s: "s", q: "q" };

/** Asks until the answer is one. */
async function answerOf(questions: Questions): Promise<Answer> {
  for (;;) {
    const text = await questions.ask(QUESTION);
    const answer = text === undefined ? "q" : ANSWERS[text.toLowerCase()];
    if (answer !== undefined) return answer;
  }
}

async function carryOut(answer: Answer, transport: Walkable[1], id: string, walked: { [Way in keyof Walked]: string[] }): Promise<void> {
  const filter = { ids: [id] };
  const about = { target: id, parameters: {} };
  if (answer === "s") walked.skipped.push(id);
  else if (answer === "d") {
    const { removed } = await audited(transport, { ...about, action: "remove" }, async () => {
      const done = await transport.removeDeadLetters(filter, 1);
      return { value: done, count: done.removed.length };
    });
    walked.removed.push(...removed);
  } else {
    const { redriven, conflicts } = await audited(transport, { ...about, action: "retry" }, async () => {
      const done = await transport.redriveDeadLetters(filter, 1);
      return { value: done, count: done.redriven.length };
    });
    walked.retried.push(...redriven);
    walked.conflicts.push(...conflicts);
  }
}

/** Those that had failed before it began. */
async function* lettersOf(
  transports: readonly Walkable[],
  filter: DeadLetterFilter,
): AsyncGenerator<readonly [string, Walkable[1], DeadLetter]> {
  for (const [name, transport] of transports) {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await transport.listDeadLetters(filter, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
      for (const letter of page.deadLetters) yield [name, transport, letter];
      cursor = page.nextCursor;
    }
  }
}

export function summary({ retried, removed, skipped, conflicts }: Walked): string {
  return [
    `retried ${plural(retried.length, "message")}, removed ${removed.length}, skipped ${skipped.length}`,
    ...conflicts.map((id) => `kept ${id}: its queue has a message with this id or key, or is gone`),
  ].join("\n");
}
