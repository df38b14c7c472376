import type { Decision } from "./decide.ts";
import type { ErrorRecord } from "./error-record.ts";
import type { Outcome } from "./execute.ts";
import type { ScheduleRun } from "./schedules/schedule.ts";
import type { Receipt, Received } from "./transport.ts";

/** Why a worker stopped. */
export type StopReason = "manual" | "signal" | "message_limit" | "time_limit" | "memory_limit" | "failure_limit" | "error";

export interface WorkerHealth {
  readonly running: boolean;
  /** Messages whose handlers run now. */
  readonly processing: number;
  /** Milliseconds since the start. */
  readonly uptime: number;
  /** Resident set, MB. */
  readonly memoryUsage: number;
  readonly messagesProcessed: number;
  readonly messagesSucceeded: number;
  readonly messagesFailed: number;
  readonly queueDepth: number;
  readonly lastError: string | null;
  /** RFC 3339, null before the first poll. */
  readonly lastPollAt: string | null;
}

export interface WorkerProgress {
  readonly processed: number;
  readonly failed: number;
  /** Settlements that were refused because the message had passed on. */
  readonly leaseLost: number;
  /** Received and not settled. */
  readonly inFlight: number;
  readonly lastError: string | null;
  /** Milliseconds since a receive last succeeded, null before the first. */
  readonly pollAgeMs: number | null;
}

export interface WorkerStats {
  readonly totalProcessed: number;
  readonly totalSucceeded: number;
  readonly totalFailed: number;
  /** Milliseconds, mean over all processed. */
  readonly averageProcessingTime: number;
  readonly currentQueueDepth: number;
  readonly batches: number;
  /** Milliseconds since the start. */
  readonly uptime: number;
  readonly stopReason: StopReason | null;
}

/** Every event of a worker and what its listeners get. Listeners run synchronously; what they throw is logged, not passed on. */
export interface WorkerEvents {
  start: [event: { workerId: string; queues: readonly string[] }];
  stop: [event: { reason: StopReason; stats: WorkerStats }];
  message_received: [event: { received: Received }];
  /** After the decision, whatever it was. */
  message_processed: [event: { received: Received; outcome: Outcome; decision: Decision; durationMs: number }];
  /** After the retry was stored: from now on any worker may have it. */
  message_retried: [event: { receipt: Receipt; delayMs: number }];
  /** After each receive, with or without messages: for what is to happen again and again. */
  running: [event: { isIdle: boolean }];
  batch_start: [event: { size: number }];
  batch_complete: [event: { size: number; succeeded: number; failed: number; durationMs: number }];
  /** A failed attempt (`received` is set), or a failure of the worker itself. */
  error: [event: { error: { name: string; message: string; code?: string }; received?: Received; willRetry?: boolean }];
  health_check: [event: WorkerHealth];
}

/** Every event of a scheduler and what its listeners get; they run synchronously. */
export interface ScheduleEvents {
  /** A message was dispatched, so many milliseconds after its time. */
  schedule_run: [event: ScheduleRun & { messageId: string; lateMs: number }];
  /** `beforeRun` said no. */
  schedule_left_out: [event: ScheduleRun];
  /** Due times were not dispatched in time; the last or only one of them is dispatched now, or none is. */
  schedule_missed: [event: { schedule: string; firstDueAt: Date; count: number; isDispatched: boolean }];
  /** The payload could not be made or dispatched; it is tried again within seconds. */
  schedule_failed: [event: ScheduleRun & { error: ErrorRecord }];
}
