import { type Clock, createIdGenerator } from "../../clock.ts";
import { type CarryHome, parseForeignQueue } from "../../failure-transport/forwarding.ts";
import { judgeCanaries } from "../../redrive/canary.ts";
import {
  commandedState,
  type Redrive,
  type RedriveCommand,
  type RedriveLease,
  type RedriveRequest,
  type RedriveState,
  type RedriveStep,
  type RedriveStore,
} from "../../redrive/redrives.ts";
import type { MemoryAudit } from "./audit.ts";
import type { DeadLetters, StoredDeadLetter } from "./dead-letters.ts";
import { toParcel } from "./parcel.ts";
import { clearTries } from "./record.ts";
import type { StoredMessage } from "./stored-message.ts";

/** What a redrive does to the store. */
export interface RedriveActions {
  readonly deadLetters: DeadLetters;
  readonly audit: MemoryAudit;
  /** How dead letters that are kept for other transports get back. */
  readonly carryHome: CarryHome | undefined;
  /** Puts a message back into its queue. */
  revive(message: StoredMessage): void;
  wake(queues: Iterable<string>): void;
  discard(letter: StoredDeadLetter): void;
  /** A message that is waiting or leased. */
  live(id: string): StoredMessage | undefined;
}

interface Job {
  redrive: Redrive;
  readonly auditId: string | undefined;
  /** Dead letters up to this place were there when it was made; those up to `at` are dealt with. */
  readonly upTo: number;
  at: number;
  canaries: { readonly letters: readonly StoredDeadLetter[]; readonly place: number; since: number } | undefined;
  lease: { readonly holder: string; readonly until: number } | undefined;
}

/** Redrives of a memory store; those who share its messages share them. */
export class MemoryRedrives implements RedriveStore {
  readonly #store: RedriveActions;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #jobs = new Map<string, Job>();

  constructor(store: RedriveActions, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#newId = createIdGenerator(clock);
  }

  async create(request: RedriveRequest): Promise<Redrive> {
    const { deadLetters, audit } = this.#store;
    const { action, filter, rate = null, canary = null, limit = null, dryRun = false, requestedBy } = request;
    const now = this.#now();
    const redrive: Redrive = {
      id: this.#newId(),
      state: dryRun ? "done" : "running",
      canaryState: canary === null ? "none" : "waiting",
      matching: Math.min(deadLetters.find(filter).length, limit ?? Number.POSITIVE_INFINITY),
      accuracy: "exact",
      ...{ action, filter: structuredClone(filter), rate, canary, limit, dryRun, requestedBy },
      ...{ done: 0, conflicts: 0, reason: null, createdAt: now, updatedAt: now, finishedAt: dryRun ? now : null },
    };
    this.#jobs.set(redrive.id, {
      redrive,
      auditId: audit.action,
      upTo: deadLetters.lastPlace,
      at: 0,
      canaries: undefined,
      lease: undefined,
    });
    return redrive;
  }

  async get(id: string): Promise<Redrive | undefined> {
    return this.#jobs.get(id)?.redrive;
  }

  async list({ limit, cursor }: { limit: number; cursor?: string }): Promise<{ redrives: readonly Redrive[]; nextCursor: string | null }> {
    const all = [...this.#jobs.values()].map((job) => job.redrive).reverse();
    const rest = cursor === undefined ? all : all.filter(({ id }) => id < cursor);
    const redrives = rest.slice(0, limit);
    return { redrives, nextCursor: rest.length > limit ? (redrives.at(-1)?.id ?? null) : null };
  }

  async control(id: string, command: RedriveCommand): Promise<Redrive | undefined> {
    const job = this.#jobs.get(id);
    const state = job === undefined ? undefined : commandedState(job.redrive.state, command);
    if (job === undefined || state === undefined) return job?.redrive;
    if (command === "resume") this.#restartCanaries(job);
    job.lease = undefined;
    return this.#enter(job, state, null);
  }

  async hold({ holder, leaseMs }: RedriveLease, id?: string): Promise<Redrive | undefined> {
    const now = this.#clock.monotonic();
    const isFree = ({ lease }: Job): boolean => lease === undefined || lease.until <= now || lease.holder === holder;
    const job = [...this.#jobs.values()].find((each) => {
      return each.redrive.state === "running" && (id === undefined || each.redrive.id === id) && isFree(each);
    });
    if (job !== undefined) job.lease = { holder, until: now + leaseMs };
    return job?.redrive;
  }

  async advance(id: string, { holder, leaseMs }: RedriveLease, max: number): Promise<RedriveStep | undefined> {
    const job = this.#jobs.get(id);
    if (job === undefined) return undefined;
    if (job.lease?.holder !== holder) return { redrive: job.redrive, held: false, taken: 0, waiting: false };
    const step = { held: true, taken: 0, waiting: false };
    if (job.redrive.state !== "running") return { ...step, redrive: job.redrive };
    job.lease = { holder, until: this.#clock.monotonic() + leaseMs };
    if (job.canaries !== undefined && !this.#canariesPassed(job)) return { ...step, redrive: job.redrive, waiting: true };
    const { canary, limit, done } = job.redrive;
    const isFirst = canary !== null && job.canaries === undefined;
    const most = Math.min(max === 0 ? 0 : isFirst ? canary : max, limit === null ? max : limit - done);
    if (most === 0 && max > 0) return { ...step, redrive: this.#enter(job, "done", null) };
    const taken = most === 0 ? [] : await this.#take(job, most);
    if (isFirst && taken.length > 0) job.canaries = { letters: taken, place: this.#store.deadLetters.lastPlace, since: this.#clock.now() };
    if (max > 0 && taken.length < most && job.canaries?.letters !== taken) this.#enter(job, "done", null);
    return { ...step, redrive: job.redrive, taken: taken.length };
  }

  async letGo(id: string, holder: string): Promise<void> {
    const job = this.#jobs.get(id);
    if (job?.lease?.holder === holder) job.lease = undefined;
  }

  /**
   * Sends dead letters back to their queues, counters at zero. They keep their keys, so that nobody can have taken them;
   * conflicts are those that are kept for a transport that cannot be reached from here.
   */
  async sendBack(letters: readonly StoredDeadLetter[]): Promise<{ redriven: readonly string[]; conflicts: readonly string[] }> {
    const foreign = letters.filter(({ message }) => parseForeignQueue(message.queue) !== undefined);
    const own = letters.filter((letter) => !foreign.includes(letter));
    for (const letter of own) {
      this.#store.deadLetters.delete(letter);
      this.#store.revive({ ...letter.message, body: clearTries(letter.message.body) });
    }
    this.#store.wake(own.map((letter) => letter.message.queue));
    const home = await this.#sendHome(foreign);
    const isBack = (letter: StoredDeadLetter): boolean => own.includes(letter) || home.has(letter.message.id);
    const [redriven, conflicts] = [letters.filter(isBack), letters.filter((letter) => !isBack(letter))];
    return { redriven: redriven.map(({ message }) => message.id), conflicts: conflicts.map(({ message }) => message.id) };
  }

  async #sendHome(letters: readonly StoredDeadLetter[]): Promise<ReadonlySet<string>> {
    const { carryHome } = this.#store;
    const home = new Set<string>();
    for (const [from, some] of Map.groupBy(letters, ({ message }) => parseForeignQueue(message.queue)?.from ?? "")) {
      for (const id of (await carryHome?.(from, some.map(toParcel))) ?? []) home.add(id);
    }
    for (const letter of letters) if (home.has(letter.message.id)) this.#store.deadLetters.delete(letter);
    return home;
  }

  clear(): void {
    this.#jobs.clear();
  }

  async #take(job: Job, most: number): Promise<readonly StoredDeadLetter[]> {
    const { deadLetters, audit } = this.#store;
    const found = deadLetters.find(job.redrive.filter).filter(({ place }) => place > job.at && place <= job.upTo);
    const letters = found.slice(0, most);
    job.at = letters.at(-1)?.place ?? job.at;
    const remove = async (): Promise<void> => {
      for (const letter of letters) this.#store.discard(letter);
    };
    let conflicts = 0;
    if (job.redrive.action === "retry") conflicts = (await this.sendBack(letters)).conflicts.length;
    else await (job.auditId === undefined ? remove() : audit.during(job.auditId, remove));
    const [done, kept] = [job.redrive.done + letters.length - conflicts, job.redrive.conflicts + conflicts];
    job.redrive = { ...job.redrive, done, conflicts: kept, updatedAt: this.#now() };
    return letters;
  }

  /** False: they are on their way, or the redrive has just stopped for them. */
  #canariesPassed(job: Job): boolean {
    const { letters, place, since } = job.canaries as NonNullable<Job["canaries"]>;
    const [ids, fingerprints] = [new Set(letters.map((each) => each.message.id)), new Set(letters.map((each) => each.failure.fingerprint))];
    const later = this.#store.deadLetters.find({}).filter((letter) => letter.place > place);
    const verdict = judgeCanaries({
      waiting: letters.filter(({ message }) => this.#store.live(message.id) !== undefined).length,
      failedAgain: later.some(({ message, failure }) => ids.has(message.id) || fingerprints.has(failure.fingerprint)),
      ageMs: job.redrive.canaryState === "passed" ? 0 : this.#clock.now() - since,
    });
    if (verdict.kind === "stopped" || verdict.kind === "paused") this.#enter(job, verdict.kind, verdict.reason);
    if (verdict.kind === "passed") job.redrive = { ...job.redrive, canaryState: "passed" };
    return job.redrive.state === "running" && job.redrive.canaryState === "passed";
  }

  /** After a stop new ones are sent, after a pause those that were sent get their time again. */
  #restartCanaries(job: Job): void {
    if (job.canaries === undefined) return;
    if (job.redrive.state === "paused") job.canaries.since = this.#clock.now();
    else {
      job.canaries = undefined;
      job.redrive = { ...job.redrive, canaryState: "waiting" };
    }
  }

  #enter(job: Job, state: RedriveState, reason: string | null): Redrive {
    const updatedAt = this.#now();
    const isOver = state === "done" || state === "cancelled";
    job.redrive = { ...job.redrive, state, reason, updatedAt, finishedAt: isOver ? updatedAt : null };
    return job.redrive;
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}
