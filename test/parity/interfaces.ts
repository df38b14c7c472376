import { admin, cli, contract, core, linesOf, pgboss, runner } from "./line.ts";

const line = linesOf("B7");

export const INTERFACES = [
  line(
    "MessageBusInterface",
    "`messenger.dispatch(type, payload, options)` and `messenger.bus(name)`; a receipt instead of the envelope.",
    core("bus", "answer dispatchMany and handle on their own"),
  ),
  line("TransportInterface", "`Sender` and `Receiver`; the suite that every transport runs is published, and finds faulty ones.", [
    ...core("testing/transport-contract", "finds every transport with a fault, by the test that is about it"),
    ...contract("places", "keeps every message in exactly one place, whatever happens to it, and gives out the most urgent one"),
    ...core("testing/places", "memory: no message is ever in two places or in none, and the most urgent one is given out first"),
  ]),
  line("QueueReceiver, Listable, MessageCountAware, Keepalive, Closeable, Setupable", "Optional interfaces, found at run time by guards.", [
    "packages/core/src/testing/transport-contract.ts > has the capabilities that its harness declares, no more and no fewer",
  ]),
  line(
    "TransportFactory",
    "By the scheme of the DSN: `postgres:`, `pgboss:`, `embedded:`, `memory:`, `sync:`; own ones beside them.",
    pgboss("options", "reads the schemes pgboss and postgresql as PostgreSQL's own"),
  ),
  line(
    "SerializerInterface",
    "`encode`, `decode`",
    core("messenger", "each transport may have a serializer of its own, which reads what foreign producers write"),
  ),
  line("RetryStrategyInterface", "`isRetryable`, `getDelayMs`; both see the error.", [
    ...core("retry/function", "decides by the error, the attempt and the queue"),
    ...core("retry/multiplier", "allows exactly maxRetries attempts after the first", "jitter spreads evenly around the delay"),
  ]),
  line(
    "BatchHandlerInterface",
    "`defineBatchHandler`, with `size` and `maxWaitMs`.",
    core(
      "batch-handler",
      "gets messages in batches of its size, in order; the last ones after the longest wait",
      "gives each message an outcome of its own: handled, failed, given up, snoozed",
      "fails a message that was left out although others were decided",
      "hands back, uncounted, what still waits for its batch when the worker stops",
    ),
  ),
  line(
    "HandleTrait",
    "`messenger.handle(query, payload)`",
    core(
      "bus",
      "resolves with the typed result of its one handler, and nothing is stored",
      "is refused without a handler, and with two before either of them ran",
    ),
  ),
  line("RoutableMessageBus", "", core("bus", "put their name on the message, and a worker that does not know it takes the default bus")),
  line("RedispatchMessage", "", [], "no helper message: a handler dispatches with `transport`"),
  line("RunCommandMessage, RunProcessMessage, PingWebhookMessage", "", [], "helper messages"),
  line(
    "MessageExecutionStrategyInterface",
    "`Executor`: in the process, in threads.",
    runner("routed-executor", "runs messages where their handlers want to run, and what no handler sees in the process"),
  ),
  line("WorkerMetadata", "In the list of workers.", contract("reaping", "lists the workers that beat, with what they said")),
  line(
    "Recoverable, Unrecoverable exceptions",
    "Classes, or the same properties on any error.",
    core("errors", "says that the failure is final, or that it is not", "names the delay in either way of writing it"),
  ),
  line(
    "HandlerFailedException",
    "`HandlerFailedError`: every failure with its handler; `wrapped(Class)` looks into causes and aggregates.",
    core(
      "bus",
      "runs every handler, and rejects with all that they threw",
      "tells what was thrown by its class, however deep it is wrapped",
    ),
  ),
  line(
    "NoHandler, NoSender, ValidationFailed, …",
    "Classes with a stable `code`, each documented.",
    core("errors-doc", "docs/errors.md explains every error code"),
  ),
  line("TraceableMessageBus", "", [], "the memory transport remembers; no page for it"),
  line(
    "InMemoryTransport",
    "The same four; always serialised; with a manual clock.",
    core(
      "transports/memory-inspection",
      "shows what was sent, read back from the record, with the stamps that do not travel",
      "shows what was acknowledged and what was rejected",
      "forgets everything on reset, but goes on refusing receipts from before",
    ),
  ),
  line(
    "SyncTransport",
    "",
    core(
      "bus",
      "handles in place with the same middleware, and gives handlers the output of the schema",
      "runs every handler, and rejects with all that they threw",
    ),
  ),
  line(
    "MiddlewareTestCase",
    "`@symphony/core/testing`: manual clock, signals, envelopes, loggers.",
    core("testing/testing", "a test envelope has what the bus would stamp, and keeps what it was given"),
  ),
  line(
    "advice of the documentation",
    "Large and odd payloads are refused with place and limit.",
    cli("hostile", "what cannot be stored is refused at dispatch, with path and limit"),
    "warnings at run time",
  ),
  line("order of receivers", "Strict precedence of queues, or weights, which starve none.", [
    ...contract("receiving", "takes nothing from a queue while an earlier one has messages"),
    ...core("worker", "takes from queues with weights in their proportion, and everything from one that is left"),
  ]),
  line(
    "HTTP, in addition",
    "The same over HTTP: dispatch, status, failed messages.",
    admin(
      "routes",
      "dispatches a message with 201, and with 200 when its key is known",
      "lists, shows, retries and removes failed messages",
    ),
  ),
];

const schedule = linesOf("B9");

export const SCHEDULER = [
  schedule("`cron`, `every`, `trigger`", "", [
    ...core(
      "schedules/cron",
      "reads minutes, hours, days, months and weekdays, with lists, ranges, steps and names",
      "agrees with another implementation on any expression and time",
    ),
    ...core("schedules/every", "an interval is due at whole multiples, or from the start that is given"),
    ...core(
      "schedules/schedule",
      "has exactly one trigger: cron, an interval or an own function",
      "is due only from one time and until another",
    ),
  ]),
  schedule("hashed fields", "", core("schedules/cron", "stand for one value each, the same in every process and spread over names")),
  schedule(
    "time zone",
    "Both changes of summer time.",
    core(
      "schedules/cron",
      "spring: a time that does not exist is due as if they had not been changed, once",
      "autumn: of a time that exists twice the first is due, once",
      "any daily time is due exactly once on every day of a year, in any zone",
    ),
  ),
  schedule(
    "TriggerInterface, jitter, exclusions",
    "",
    core(
      "schedules/schedule",
      "is spread by jitter, within its range and always alike for one due time",
      "leaves out days of its own zone, or what a function names",
    ),
  ),
  schedule(
    "CallbackMessageProvider",
    "The payload may be a function.",
    core("schedules/schedule", "builds its payload when it is due, or has a fixed one"),
  ),
  schedule(
    "`#[AsSchedule]`, `#[AsCronTask]`",
    "`defineSchedule` in the configuration, reconciled with the store.",
    core(
      "schedules/scheduler",
      "takes a new definition when those who have the old one are gone, without doubling a due time",
      "are listed with what comes next, those of other builds too, and can be removed",
    ),
  ),
  schedule(
    "add, remove at run time",
    "Pause, resume, run now; schedules belong to the code.",
    core(
      "schedules/scheduler",
      "dispatches nothing while paused, and afterwards only what is due from then on",
      "run at once, beside their due times, also while paused",
    ),
    "creating schedules at run time",
  ),
  schedule(
    "PreRun, PostRun, Failure",
    "`beforeRun`, `afterRun`, `onError`",
    core("schedules/scheduler", "asks beforeRun and tells afterRun", "tries again what failed, loses no due time, and shows why it fails"),
  ),
  schedule(
    "`stateful`, `processOnlyLastMissedRun`",
    "`missedRuns`: all, last or none.",
    core(
      "schedules/due",
      "is, after a long one, every run, the last one or none that was missed",
      "is each due time once or missed once, for any interval, jitter, policy and outage",
    ),
  ),
  schedule("`lock`", "Message and next due time are one commit: once over the fleet, without a lock that can expire.", [
    ...contract("schedules", "stores the message and the next due time together", "sends one message however many run the same due time"),
    ...core("schedules/scheduler", "dispatches each due time once, built when it is due, however many processes run"),
  ]),
  schedule(
    "RedispatchMessage",
    "The scheduler only dispatches.",
    core("schedules/scheduler", "dispatches at the due time, to the millisecond, plus the jitter"),
  ),
  schedule(
    "`debug:scheduler`",
    "",
    core("schedules/scheduler", "are listed with what comes next, those of other builds too, and can be removed"),
  ),
];
