import { isDeepStrictEqual } from "node:util";
import {
  type DeadLetterFilter,
  integer,
  isRedrivable,
  type Messenger,
  MessengerError,
  REDRIVE_LEASE_MS,
  type Redrivable,
  type Redrive,
  type RedriveAction,
  type RedriveRequest,
  type RedriveStore,
  runRedrive,
  type Transport,
} from "@symphony/core";
import { audited, operator } from "../../audited.ts";
import { text, toggle } from "../../command.ts";
import { CommandFailed } from "../../exit-codes.ts";
import type { Io } from "../../io.ts";
import { plural, print } from "../../output.ts";
import { perSecond } from "../../parsers.ts";
import { redriveProgress } from "./progress.ts";
import { asUsage } from "./selection.ts";

/** Milliseconds between two looks at a redrive that somebody else carries out. */
const LOOK_EVERY_MS = 500;

export const PACE_OPTIONS = {
  rate: text("With --all: so many per second (20/s), as a redrive"),
  detach: toggle("With --rate or --canary: leave the redrive to a running fleet or admin API"),
} as const;

export const CANARY_OPTION = {
  canary: text("With --all: send so many first, wait until they are handled, stop when their error comes again"),
} as const;

export interface PaceFlags {
  readonly rate?: string | undefined;
  readonly canary?: string | undefined;
}

/** What makes a redrive of it; undefined: neither a rate nor canaries were asked for. */
export function toPace(flags: PaceFlags): Pick<RedriveRequest, "rate" | "canary"> | undefined {
  if (flags.rate === undefined && flags.canary === undefined) return undefined;
  return {
    ...(flags.rate === undefined ? {} : { rate: asUsage(perSecond, flags.rate, "--rate") }),
    ...(flags.canary === undefined ? {} : { canary: asUsage(integer({ min: 1, max: 1_000 }), flags.canary, "--canary") }),
  };
}

export type Redriving = readonly [name: string, transport: Transport & Redrivable];

/** @throws {MessengerError} `CAPABILITY_MISSING` */
function redrivable([name, transport]: readonly [string, Transport]): Redriving {
  if (isRedrivable(transport)) return [name, transport];
  throw new MessengerError("CAPABILITY_MISSING", `the transport "${name}" cannot redrive at a rate`, { details: { transport: name } });
}

/** Redrives wherever they are. */
export const redrivables = (messenger: Messenger, named: string | undefined): readonly Redriving[] =>
  messenger.transportNames
    .filter((name) => named === undefined || name === named)
    .map((name) => [name, messenger.transport(name)] as const)
    .filter((entry): entry is Redriving => isRedrivable(entry[1]));

interface RedriveInput {
  readonly action: RedriveAction;
  readonly request: Omit<RedriveRequest, "action" | "requestedBy">;
  readonly detach: boolean;
}

export interface RedriveAllInput {
  readonly action: RedriveAction;
  readonly filter: DeadLetterFilter;
  readonly pace: Pick<RedriveRequest, "rate" | "canary">;
  /** What was asked for or confirmed; absent: all that match, however many they turn out to be. */
  readonly most?: number | undefined;
  readonly detach: boolean;
}

/** One redrive per transport, one after the other, and no more than `most` in all. */
export async function redriveAll(
  io: Io,
  messenger: Messenger,
  transports: readonly (readonly [string, Transport])[],
  { action, filter, pace, most, detach }: RedriveAllInput,
  json: boolean,
): Promise<void> {
  const all: Redrive[] = [];
  let left = most;
  for (const each of transports.map(redrivable)) {
    if ((left ?? 1) <= 0 || all.some(({ state }) => state !== "done" && !detach)) break;
    const request = { filter, ...pace, ...(left === undefined ? {} : { limit: left }) };
    const redrive = await redriveHere(io, messenger, each, { action, request, detach });
    if (left !== undefined) left -= detach ? redrive.matching : redrive.done;
    all.push(redrive);
  }
  const sum = (of: "done" | "conflicts"): number => all.reduce((total, redrive) => total + redrive[of], 0);
  const success = all.every(({ state, conflicts }) => (state === "done" || detach) && conflicts === 0);
  const result = { success, [action === "retry" ? "retried" : "removed"]: sum("done"), conflicts: sum("conflicts"), redrives: all };
  const ended = all.filter(({ state }) => state === "done" || detach);
  print(io, json, result, () => (all.length === 0 ? "no failed messages" : ended.map((each) => describe(each, detach)).join("\n")));
  assertDone(all, detach);
}

/** Makes a redrive, or takes up the same one that was interrupted, and carries it out here. */
async function redriveHere(io: Io, messenger: Messenger, [name, transport]: Redriving, o: RedriveInput): Promise<Redrive> {
  const interrupted = await findSame(transport, o);
  if (interrupted !== undefined) io.err(`going on with ${interrupted.id}, which was begun at ${interrupted.createdAt}\n`);
  const redrive = interrupted ?? (await make(transport, o));
  return o.detach ? redrive : follow(io, messenger, [name, transport], redrive);
}

async function make(transport: Transport & Redrivable, { action, request }: RedriveInput): Promise<Redrive> {
  const { filter, ...options } = request;
  return audited(transport, { action, parameters: { ...filter, ...options } }, async () => {
    const made = await transport.redrives.create({ ...request, action, requestedBy: operator() });
    return { value: made, count: made.matching, target: made.id };
  });
}

/** One for the same messages at the same rate that still runs: whoever carried it out is gone, or is at it. */
async function findSame(transport: Redrivable, { action, request }: RedriveInput): Promise<Redrive | undefined> {
  const { redrives } = await transport.redrives.list({ limit: 50 });
  return redrives.find(
    (each) =>
      each.state === "running" &&
      each.action === action &&
      isDeepStrictEqual(each.filter, request.filter) &&
      each.rate === (request.rate ?? null) &&
      each.canary === (request.canary ?? null),
  );
}

/** Carries a redrive out, or watches who does, until it is over. Ctrl-C pauses it. */
export async function follow(io: Io, { runtime }: Messenger, [, { redrives }]: Redriving, redrive: Redrive): Promise<Redrive> {
  const { clock } = runtime;
  const holder = runtime.newId();
  const progress = redriveProgress(io, redrive);
  let last = redrive;
  try {
    while (last.state === "running" && !io.signal.aborted) {
      const held = await redrives.hold({ holder, leaseMs: REDRIVE_LEASE_MS }, redrive.id);
      if (held !== undefined)
        last = await runRedrive({ redrives, redrive: held, holder, clock, signal: io.signal, onProgress: progress.show });
      else {
        await new Promise<void>((resolve) => clock.schedule(LOOK_EVERY_MS, resolve));
        last = (await look(redrives, redrive.id)) ?? last;
        progress.show(last);
      }
    }
    // Who stops it means the sending, not only the looking on.
    return last.state === "running" ? ((await redrives.control(redrive.id, "pause")) ?? last) : last;
  } finally {
    progress.end();
  }
}

/** Undefined while nobody answers: what is carried out elsewhere goes on without our looking. */
async function look(redrives: RedriveStore, id: string): Promise<Redrive | undefined> {
  try {
    return await redrives.get(id);
  } catch (error) {
    if (error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE") return undefined;
    throw error;
  }
}

export function describe({ id, action, state, done, conflicts, reason }: Redrive, detached: boolean): string {
  const did = `${action === "retry" ? "retried" : "removed"} ${plural(done, "message")}`;
  const kept = conflicts === 0 ? "" : `, kept ${conflicts} whose queue has a message with their id or key, or is gone`;
  if (state === "running" && detached) return `${id} is left to a running fleet or admin API; look with: symphony failed redrives ${id}`;
  if (state === "done") return `${did}${kept}`;
  return `${state} after ${done}${kept}${reason === null ? "" : `: ${reason}`}; go on with: symphony failed redrives ${id} --resume`;
}

/** @throws {CommandFailed} it did not come to its end. */
export function assertDone(redrives: readonly Redrive[], detached: boolean): void {
  const open = redrives.filter(({ state, conflicts }) => (state !== "done" && !(detached && state === "running")) || conflicts > 0);
  if (open.length > 0) throw new CommandFailed(open.map((each) => describe(each, detached)).join("\n"));
}
