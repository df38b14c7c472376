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
  | { readonly kind: "run"; readonly packed: PackedMessages }
  | { readonly kind: "abort"; readonly group: number; readonly reason: AbortReason }
  /** End the attempt in this slot. */
  | { readonly kind: "cancel"; readonly slot: number }
  | { readonly kind: "ping"; readonly ping: number }
  | { readonly kind: "sent"; readonly answers: readonly SendAnswer[] }
  | { readonly kind: "logged"; readonly count: number }
  /** Nothing is to do: collect the garbage. */
  | { readonly kind: "tidy" }
  /** Close what is open. `exit`: and end the thread, whatever piscina would like to do with it. */
  | { readonly kind: "stop"; readonly exit: boolean };

/** Thread → main thread: everything of one turn in one post. */
export interface FromThread {
  readonly ready?: { readonly threadId: number };
  /** Slots whose messages were handled, by far the most frequent outcome. */
  readonly handled?: Uint32Array;
  /** The other outcomes, each with its slot. */
  readonly outcomes?: readonly (readonly [slot: number, outcome: Outcome])[];
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

/**
 * Messages on their way, as few things as can be: V8 copies a typed array at once, and a string several times faster than an
 * object with it.
 */
export interface PackedMessages {
  /** Slot, ticket, group, fence, claim, priority and the place in `queues`, of one message after the other. */
  readonly numbers: Float64Array;
  /** Id and body of one message after the other; if anything is traced, all traces behind them. */
  readonly texts: readonly string[];
  readonly queues: readonly string[];
  readonly traced: boolean;
}

const NUMBERS = 7;
const NO_CLAIM = -1;

/** Collects messages for one post. */
export class Packer {
  #numbers: number[] = [];
  #texts: string[] = [];
  #queues: string[] = [];
  #traces: string[] = [];
  #traced = false;

  get isEmpty(): boolean {
    return this.#numbers.length === 0;
  }

  add({ slot, ticket, group, received, trace }: PackedMessage): void {
    const { receipt, queue, priority, body } = received;
    // There are few, and mostly it is that of the message before.
    let place = this.#queues.lastIndexOf(queue);
    if (place < 0) place = this.#queues.push(queue) - 1;
    this.#numbers.push(slot, ticket, group, receipt.fence, receipt.claim ?? NO_CLAIM, priority, place);
    this.#texts.push(receipt.id, body);
    this.#traces.push(trace);
    this.#traced ||= trace !== "";
  }

  /** Everything that was added since the last time. */
  take(): PackedMessages {
    const traced = this.#traced;
    const texts = traced ? [...this.#texts, ...this.#traces] : this.#texts;
    const packed = { numbers: new Float64Array(this.#numbers), texts, queues: this.#queues, traced };
    this.#numbers = [];
    this.#texts = [];
    this.#queues = [];
    this.#traces = [];
    this.#traced = false;
    return packed;
  }
}

export function unpack({ numbers, texts, queues, traced }: PackedMessages): PackedMessage[] {
  const messages: PackedMessage[] = [];
  const count = numbers.length / NUMBERS;
  for (let i = 0; i < count; i++) {
    const at = i * NUMBERS;
    const number = (field: number): number => numbers[at + field] as number;
    const queue = queues[number(6)] as string;
    const id = texts[2 * i] as string;
    const claim = number(4);
    const receipt = claim === NO_CLAIM ? { id, fence: number(3), queue } : { id, fence: number(3), queue, claim };
    messages.push({
      slot: number(0),
      ticket: number(1),
      group: number(2),
      received: { receipt, queue, priority: number(5), body: texts[2 * i + 1] as string },
      trace: traced ? (texts[2 * count + i] as string) : "",
    });
  }
  return messages;
}
