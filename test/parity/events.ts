import { cli, contract, core, linesOf, runner } from "./line.ts";

const line = linesOf("B6");
const EIGHT = core("worker", "emits all eight events with their payloads, and a listener that throws does no harm");

export const EVENTS = [
  line(
    "SendMessageToTransportsEvent",
    "Own middleware: it may replace the envelope.",
    core("middleware/chain", "goes in from first to last and out from last to first, handing the envelope on"),
  ),
  line(
    "MessageSentToTransportsEvent",
    "Own middleware, after `next`.",
    core("messenger", "middleware sees where a message was sent, and tells dispatching from handling"),
  ),
  line("WorkerStartedEvent", "`start`", EIGHT),
  line(
    "WorkerRunningEvent",
    "`running`, with `isIdle`",
    core("worker-events", "tells after each receive whether there was anything to do"),
  ),
  line("WorkerMessageReceivedEvent", "`message_received`", EIGHT, "listeners only look: middleware may replace the envelope"),
  line("WorkerMessageHandledEvent", "`message_processed`", EIGHT),
  line("WorkerMessageFailedEvent", "`error`, with `willRetry`", EIGHT),
  line(
    "WorkerMessageRetriedEvent",
    "`message_retried`",
    core("worker-events", "tells of a retry when it is stored and counted, and neither of a dead letter nor of a snooze"),
  ),
  line(
    "WorkerMessageSkipEvent",
    "An answer at `failed retry`, which counts them.",
    cli("failed", "retry without ids walks through them at a terminal: retry, delete, skip, quit, each at once"),
    "no event: it happens on a command line, not in a worker",
  ),
  line("WorkerRateLimitedEvent", "", [], "as rate limits"),
  line("WorkerStoppedEvent", "`stop`, with the reason", EIGHT),
  line("of our own", "`batch_start`, `batch_complete`, `health_check`", EIGHT),
  line("SendFailedMessageForRetry", "Recoverable: always; unrecoverable: never; the error's own delay wins.", [
    ...core(
      "decide",
      "recoverable: retried however often, after the error's own delay when it names one",
      "unrecoverable: dead-lettered at once",
      "failed: retried by the strategy, then dead-lettered with all about the failure",
    ),
  ]),
  line(
    "SendFailedMessageToFailureTransport",
    "Once.",
    contract("settling", "settles one delivery once: of two different settlements exactly one takes effect"),
  ),
  line("AddErrorDetailsStamp", "", contract("dead-letters", "keeps counters, history and handlers done with the dead letter")),
  line("StopWorkerOn…", "Limits for messages, failures, memory and time, a restart signal, `StopWorkerError`; each says why it stopped.", [
    ...core("worker-events", "stops when a handler throws StopWorkerError, or an error marked so; the message is retried by another one"),
    ...cli("consume", "stops at each limit with exit code 0 and says which"),
    ...cli("fleet", "stop-workers replaces the processes of running fleets"),
  ]),
  line(
    "ResetServices, ResetMemoryUsage",
    "In the thread or process that ran the handler; when a reset fails, it is replaced.",
    [
      ...core(
        "resets",
        "no message meets what an earlier one left behind, whether that one was handled or failed",
        "no reset meets a running handler, and messages that run together share their state",
        "that fail leave the message handled, the others reset, and stop the worker before it handles another one",
      ),
      ...runner(
        "resets",
        "are reset in the thread that ran the handler, before the next message there",
        "that fail: the message stays handled, the thread is replaced, and no other message is lost or accused",
      ),
    ],
    "peak memory per message",
  ),
  line(
    "DispatchPcntlSignal",
    "The supervisor has the signals and passes them on.",
    cli("consume", "SIGUSR2 pauses receiving, SIGCONT resumes it"),
  ),
  line(
    "ReleaseDeduplicationLockOnFailure",
    "The key is free with the dead letter, not with the failed attempt.",
    contract("deduplication", "frees the key when the message becomes a dead letter, and a redrive brings it back beside a new one"),
  ),
  line("PostgreSqlNotifyOnIdle", "One listener for all queues of a container: no wait for one keeps another.", [
    ...contract("capabilities", "wakes within a second of a send"),
    ...runner("run-worker-process", "consumes with threads and in the process, and is registered before the first receive"),
  ]),
];
