import type { MessagePort } from "node:worker_threads";
import type { AbortReason, ErrorRecord, MetricSeries, Outcome, Received, SendResult, WorkerConfig } from "@symphony/core";

/** What a thread is started with: the task of its piscina worker. */
export interface ThreadStart {
  readonly port: MessagePort;
  /** The memory of a `SlotBoard`. */
  readonly board: SharedArrayBuffer;
  /** URL of the module whose default export is the configuration. */
  readonly configUrl: string;
  /** Where the messages come from. */
  readonly transport: string;
  readonly relays: readonly RelaySpec[];
  readonly logLevel: LogLevel;
  /** What the process was told beside the configuration, which the thread loads itself. */
  readonly handling: Pick<WorkerConfig, "resetEvery" | "bus">;
}

/** One transport of the main process, as the threads see it. */
export interface RelaySpec {
  readonly name: string;
  /** How a thread reaches the store by itself; absent when it cannot join a transaction there. */
  readonly transactional?: { readonly dsn: string };
}

/** Main thread → thread. */
export type ToThread =
  | { readonly kind: "run"; readonly packed: readonly (string | number)[] }
  | { readonly kind: "abort"; readonly group: number; readonly reason: AbortReason }
  /** End the attempt in this slot. */
  | { readonly kind: "cancel"; readonly slot: number }
  | { readonly kind: "ping"; readonly ping: number }
  /** A message is about to come. Nothing is to be done for it: the thread, and the core that it runs on, are awake then. */
  | { readonly kind: "rouse" }
  | { readonly kind: "sent"; readonly answers: readonly SendAnswer[] }
  | { readonly kind: "logged"; readonly count: number }
  /** Nothing is to do: collect the garbage. */
  | { readonly kind: "tidy" }
  /** Close what is open. `exit`: and end the thread, whatever piscina would like to do with it. */
  | { readonly kind: "stop"; readonly exit: boolean };

/** Thread → main thread: everything of one turn in one post. */
export interface FromThread {
  readonly ready?: { readonly threadId: number };
  /** Slot, outcome, slot, outcome…; 0 is "handled", by far the most frequent one. */
  readonly outcomes?: readonly (number | Outcome)[];
  readonly sends?: readonly SendRequest[];
  readonly logs?: readonly LogRecord[];
  readonly death?: DeathNotice;
  /** Why the thread must not handle anything more; no message runs in it. */
  readonly unfit?: ErrorRecord;
  /** What was counted in the thread since it last said so: what its handlers sent. */
  readonly metrics?: readonly MetricSeries[];
}

/** A thread's last words. */
export interface DeathNotice {
  readonly error: ErrorRecord;
  /** The message in whose context it happened; absent when no message ran there. */
  readonly messageId?: string;
  /** Its slot, while it was still running. */
  readonly slot?: number;
}

export interface SendRequest {
  readonly id: number;
  readonly transport: string;
  readonly envelopes: readonly PlainEnvelope[];
}

export interface PlainEnvelope {
  readonly message: { readonly type: string; readonly payload: unknown };
  readonly stamps: readonly { readonly name: string; readonly value: unknown }[];
}

export type SendAnswer =
  | { readonly id: number; readonly results: readonly PlainSendResult[] }
  | { readonly id: number; readonly error: PlainError };

export type PlainSendResult = Exclude<SendResult, { kind: "refused" }> | { readonly kind: "refused"; readonly error: PlainError };

/** A `MessengerError` that crosses a thread boundary. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Level, fields as JSON, message. */
export type LogRecord = readonly [level: LogLevel, fields: string, message: string | undefined];

/** One message on its way to a thread. */
export interface PackedMessage {
  readonly slot: number;
  readonly ticket: number;
  /** Which abort signal it follows. */
  readonly group: number;
  readonly received: Omit<Received, "envelope" | "decodeError">;
  /** Its trace, as `carryTrace` puts it; empty without one. */
  readonly trace: string;
}

const FIELDS = 10;
const NO_CLAIM = -1;

/** Appends a message to a flat list: V8 copies strings and small numbers several times faster than objects. */
export function pack(into: (string | number)[], { slot, ticket, group, received, trace }: PackedMessage): void {
  const { receipt, queue, priority, body } = received;
  into.push(slot, ticket, group, receipt.id, receipt.fence, receipt.claim ?? NO_CLAIM, queue, priority, body, trace);
}

export function* unpack(packed: readonly (string | number)[]): Generator<PackedMessage> {
  for (let i = 0; i + FIELDS <= packed.length; i += FIELDS) {
    const claim = packed[i + 5] as number;
    const queue = packed[i + 6] as string;
    yield {
      slot: packed[i] as number,
      ticket: packed[i + 1] as number,
      group: packed[i + 2] as number,
      received: {
        receipt: { id: packed[i + 3] as string, fence: packed[i + 4] as number, queue, ...(claim === NO_CLAIM ? {} : { claim }) },
        queue,
        priority: packed[i + 7] as number,
        body: packed[i + 8] as string,
      },
      trace: packed[i + 9] as string,
    };
  }
}
