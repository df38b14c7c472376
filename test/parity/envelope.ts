import { contract, core, endToEnd, linesOf, pgboss, runner } from "./line.ts";

const line = linesOf("B4");

export const ENVELOPE = [
  line("Envelope", "Immutable; wrapping does not nest; stamps travel unless they say otherwise.", [
    ...core(
      "envelope",
      "never changes: every method returns another one",
      "is not wrapped again: it gets the stamps",
      "a stamp type says whether its stamps travel; stamps that nobody declared do",
    ),
    ...core("serializer", "leaves behind what does not travel, and takes along stamps that this version does not know"),
  ]),
  line("BusNameStamp", "`busName`", core("bus", "put their name on the message, and a worker that does not know it takes the default bus")),
  line(
    "DelayStamp",
    "`delayMs`, `scheduledAt`; milliseconds survive.",
    contract(
      "sending",
      "holds a delayed message back until its delay is over, to the millisecond",
      "holds a scheduled message back until its time",
    ),
  ),
  line("TransportNamesStamp", "Option `transport`.", core("dispatching", "sends to that one alone, whatever the routing says")),
  line(
    "DispatchAfterCurrentBusStamp",
    "Option `afterCurrent`; each handler by itself, and what cannot be sent makes its handler fail.",
    core(
      "dispatching",
      "is sent once the handler has succeeded, and dropped with every attempt that failed",
      "waits for each handler apart: one that failed takes nothing of another along",
      "makes its handler fail when it cannot be sent, so that nothing is lost",
    ),
  ),
  line("HandledStamp", "`handled`, per handler; results stay in the process.", [
    ...core("serializer", "remembers handlers that succeeded, now and before, each once"),
    ...core("worker", "runs only the handlers again that failed"),
  ]),
  line(
    "HandlerArgumentsStamp",
    "Own stamps and `metadata` do it.",
    core("messenger", "a handler learns from its context what there is to know about its message"),
    "stamps are not in the handler's context; metadata are",
  ),
  line(
    "SentStamp",
    "`sent`: transport, queue, id.",
    core("messenger", "middleware sees where a message was sent, and tells dispatching from handling"),
  ),
  line("ReceivedStamp", "`received`", core("messenger", "middleware sees where a message was sent, and tells dispatching from handling")),
  line(
    "ConsumedByWorkerStamp",
    "`execution`: only in a worker.",
    core("messenger", "middleware sees where a message was sent, and tells dispatching from handling"),
  ),
  line(
    "RedeliveryStamp",
    "`redelivery`: three counters, and the newest ten failed attempts.",
    core("decide", "keeps the newest ten attempts, without their stacks", "counts failures for failures and timeouts only"),
  ),
  line(
    "SentForRetryStamp",
    "A retry is no new sending here: the message stays where it is.",
    contract("settling", "stores what a rejection changes and leaves the rest of the record alone"),
  ),
  line(
    "SentToFailureTransportStamp",
    "The dead letter knows its queue; a redrive puts it back there.",
    contract("dead-letters", "redrives with the same id, queue and priority, counters at zero and the history kept"),
  ),
  line("ErrorDetailsStamp", "In the failure and the history; size capped, circular-safe.", [
    ...core("error-record", "is made of anything", "says how long a message was that it cut"),
    ...core("decide", "keeps a history of less than 16 KiB, however much the errors say"),
  ]),
  line("MessageDecodingFailedStamp", "A delivery carries its decode error and its raw bytes.", [
    ...contract("receiving", "gives a body that is the whole record, for another thread to decode"),
    ...pgboss("receiving", "delivers rows that somebody damaged, whatever they hold"),
    ...core("worker", "dead-letters unknown types and schema mismatches on first sight, with their bytes"),
  ]),
  line(
    "TransportMessageIdStamp",
    "One id for the whole life, also over redrives.",
    contract("idempotency", "answers a known idempotency key with the first message's id and sends nothing"),
  ),
  line("ValidationStamp", "", [], "one schema per type: no variants"),
  line("SerializerStamp", "", [], "no context for the serializer"),
  line(
    "SerializedMessageStamp",
    "The raw record is passed on: to threads, and to dead letters.",
    contract("dead-letters", "lists a dead letter with its record unchanged and its failure in full"),
  ),
  line(
    "DeduplicateStamp",
    "Option `deduplicate`: exact, without a time to live.",
    contract(
      "deduplication",
      "answers with the message that is not finished, whatever the payload, until it is handled",
      "makes one message of fifty concurrent sends with one key, and all get its id",
    ),
  ),
  line(
    "RouterContextStamp",
    "Own stamps travel.",
    core("dispatching", "are stamped on every message of the type", "give way to what dispatch says of the same kind"),
  ),
  line(
    "NoAutoAckStamp, AckStamp, FlushBatchHandlersStamp",
    "No stamps: each item of a batch has `ack`, `fail` and `snooze`.",
    core("batch-handler", "gives each message an outcome of its own: handled, failed, given up, snoozed"),
  ),
  line(
    "NonSendableStampInterface",
    "`defineStamp(name, { sendable: false })`.",
    contract("sending", "leaves stamps behind that only matter to the sender"),
  ),
  line(
    "AmqpStamp, AmqpPriorityStamp",
    "`priority`, 1 to 10, for every transport.",
    contract("receiving", "receives by priority, and among equals the oldest first"),
  ),
  line("AmazonSqsFifoStamp", "Option `partitionKey`: strict order per key, over crashes and retries. W3C `traceparent` for X-Ray.", [
    ...contract(
      "partition-keys",
      "delivers the messages of a key one at a time, in the order in which they were sent",
      "keeps the order of each key through any sequence of retries, crashes, releases and dead letters",
    ),
    ...endToEnd(
      "order",
      "handles each partition key strictly in order, over two fleets whose workers are killed, with retries and prefetch",
    ),
  ]),
  line(
    "DoctrineReceivedStamp and the like",
    "The receipt: id, queue, fence.",
    contract("fencing", "refuses the acknowledgement of an earlier delivery, and changes nothing"),
  ),
  line(
    "ScheduledStamp",
    "Headers of the message name its schedule and its due time.",
    core("schedules/scheduler", "dispatches each due time once, built when it is due, however many processes run"),
  ),
];

const step = linesOf("B5");

export const MIDDLEWARE = [
  step("AddBusNameStamp", "", core("bus", "put their name on the message, and a worker that does not know it takes the default bus")),
  step(
    "AddDefaultStamps",
    "Defaults of `defineMessage`.",
    core("dispatching", "are stamped on every message of the type", "give way to what dispatch says of the same kind"),
  ),
  step("RejectRedelivered", "After a crash a message is suspect: it runs alone, and after three crashes it is a dead letter.", [
    ...runner("thread-pool", "when nobody knows who did it, suspects run alone until one does it again"),
    ...runner(
      "run-worker-process",
      "a message that kills its thread is dead-lettered after three crashes; its neighbours are handled without a lost attempt",
    ),
  ]),
  step(
    "DispatchAfterCurrentBus",
    "",
    core(
      "dispatching",
      "is held the same way by messenger.dispatch, in order, and what is sent without it goes at once",
      "waits for the outermost of handlers that run in place within each other",
    ),
  ),
  step(
    "FailedMessageProcessing",
    "Dead letters are not handled where they are: a redrive sends them through their own transport.",
    contract("dead-letters", "redrives with the same id, queue and priority, counters at zero and the history kept"),
  ),
  step(
    "DecodeFailedMessage",
    "A dead letter on first sight, with its bytes.",
    core("worker", "dead-letters unknown types and schema mismatches on first sight, with their bytes"),
  ),
  step(
    "SendMessage",
    "Routes, never sends what was received.",
    core("bus", "each run their own middleware around the common one, when a message is sent and when it is handled"),
    "an event before sending: middleware does it",
  ),
  step("HandleMessage", "All handlers run; one error holds all failures; a retry runs only those that failed.", [
    ...core("bus", "runs every handler, and rejects with all that they threw", "is a dead letter, unless its bus allows that"),
    ...core("worker", "runs only the handlers again that failed"),
  ]),
  step(
    "Deduplicate",
    "Kept until the message is handled or a dead letter.",
    contract(
      "deduplication",
      "answers with the message that is not finished, whatever the payload, until it is handled",
      "frees the key when the message becomes a dead letter, and a redrive brings it back beside a new one",
    ),
  ),
  step("Validation", "At dispatch, and before handling; every issue with its path.", [
    ...core("errors", "names every issue of a payload"),
    ...core("bus", "is refused when its payload or its result does not match the schema"),
  ]),
  step("RouterContext", "As its stamp above.", core("dispatching", "are stamped on every message of the type")),
  step("Traceable", "", [], "the memory transport remembers what was sent, without the caller's line"),
  step("Activation", "", [], "a middleware can do it itself"),
  step("doctrine_transaction", "`{ transactional: true }`: effects, dispatches and acknowledgement in one commit.", [
    ...runner(
      "transactional",
      "a transactional handler's rows, dispatches and acknowledgement are one commit",
      "nothing of it remains when it throws, or when its delivery is not current any more",
    ),
    ...contract("transactions", "commits the work, what it sent and the acknowledgement together"),
    ...pgboss(
      "transactional-kill",
      "a transactional handler that is killed at any statement has its effects and dispatches all or not at all, and once in the end",
    ),
    ...runner(
      "transactional-kill",
      "a transactional handler in a pool thread that is killed at any statement: all of it or nothing, and once in the end",
    ),
  ]),
  step("doctrine_ping_connection, doctrine_close_connection", "Connections that were ended are replaced.", [
    ...pgboss("resilience", "goes on after all its connections were ended, and hears wake-ups again"),
    ...endToEnd(
      "outage",
      "a database that crashes and comes back: the same processes go on, nothing is lost, finished work is not repeated",
    ),
  ]),
  step(
    "doctrine_open_transaction_logger",
    "A handler that ends the transaction it was given is refused; connections are let go of however it ended.",
    pgboss("resilience", "lets go of every connection that a transaction used, however it ended"),
  ),
  step(
    "AddFifoStamp",
    "`partitionKey` of `defineMessage`.",
    endToEnd("order", "handles each partition key strictly in order, over two fleets whose workers are killed, with retries and prefetch"),
  ),
  step(
    "own middleware",
    "`(envelope, next) => Promise<Envelope>`",
    core(
      "middleware/chain",
      "goes in from first to last and out from last to first, handing the envelope on",
      "ends where a middleware does not go on",
      "refuses a second next, and does not run the rest twice",
    ),
  ),
];
