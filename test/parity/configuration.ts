import { cli, contract, core, endToEnd, linesOf, pgboss } from "./line.ts";

const line = linesOf("B2");

export const CONFIGURATION = [
  line("`enabled`", "", [], "there is no switch: do not create the messenger"),
  line(
    "`default_bus`",
    "`defaultBus`: needed when there are several and none is called `default`.",
    core("bus", "are refused by a name that does not exist, and need a default when there are several"),
  ),
  line(
    "`buses.NAME.default_middleware`",
    "`allowNoHandlers` (false) and `allowNoSenders`, which is **false** here: handling in place for want of a route would break “accepted means stored”.",
    [...core("bus", "is a dead letter, unless its bus allows that", "is refused, unless its bus allows that: then it is handled in place")],
    "switching the library's own steps off",
  ),
  line(
    "`buses.NAME.middleware`",
    "Functions, in order, after those of all buses.",
    core("bus", "each run their own middleware around the common one, when a message is sent and when it is handled"),
  ),
  line(
    "`routing`",
    "Exact name, then the longest `prefix.*`, then `*`; the configuration beats what a type says of itself.",
    [
      ...core("dispatching", "name a transport, which every pattern of the routing beats"),
      ...core("config", "keeps the routes that it was given, one transport or several"),
    ],
    "tags of parents: message types have no inheritance here",
  ),
  line("`transports.NAME.dsn`", "Options beat the query of the DSN; an unknown one is an error.", [
    ...pgboss(
      "options",
      "takes options from the query of the DSN, and lets explicit ones win",
      "refuses unknown options wherever they are, and names the nearest",
    ),
    ...cli("config-file", "puts DATABASE_URL in the place of an embedded PostgreSQL, and of nothing else"),
  ]),
  line(
    "`transports.NAME.serializer`",
    "",
    core("messenger", "each transport may have a serializer of its own, which reads what foreign producers write"),
  ),
  line(
    "`transports.NAME.options`",
    "Parsed by the transport, by name and range.",
    pgboss("options", "has one default for every option", "refuses values out of range and schemas that would need quotes"),
  ),
  line(
    "`failure_transport`",
    "`failureTransport`, shared or per transport: another transport that keeps the dead letters. They become that where they are, in one statement, and are carried there afterwards; in one queue for all or one of its own choice (`deadLetterQueue`).",
    [
      ...core("worker", "retries by strategy, then dead-letters with the history of its attempts"),
      ...core("config", "gives each transport its failure transport, the shared one or its own, and that one none"),
      ...contract(
        "forwarding",
        "takes a dead letter of its own back: it is redriven with id, queue, priority and a higher fence",
        "never puts one of them into a queue of its own: without a way home it is a conflict and stays",
      ),
      ...pgboss(
        "failure-transport",
        "a dead letter stays in its own transport while the failure transport is away, and is carried there afterwards",
        "a message that is redriven from the failure transport is back in its queue, under its id, and fails there again",
        "several couriers at once, and one that died half-way, leave every letter in the failure transport once",
      ),
      ...cli("failure-transport", "dead letters go to the failure transport; failed list, show, groups, retry and remove find them there"),
    ],
  ),
  line("`retry_strategy`", "The same five numbers and defaults, per transport, queue and type; or a function of the error.", [
    ...core(
      "retry/multiplier",
      "doubles from one second when nothing is said, three times",
      "gives a whole number of milliseconds, 0 or more, never above the maximum or a year",
      "varies a delay by no more than its jitter",
    ),
    ...core("config", "takes retries as numbers, strategies and functions, per transport and queue"),
  ]),
  line("`rate_limiter`", "", [], "rate limits over the fleet"),
  line("signing", "", [], "signed messages"),
  line("`stop_worker_on_signals`", "", [], "the three signals are fixed"),
  line("`serializer.default_serializer`", "JSON; what JSON would change without a word is refused with its path.", [
    ...core("serializer", "reads back what it wrote: decode(encode(x)) equals x, stamps in order"),
    ...cli("hostile", "what cannot be stored is refused at dispatch, with path and limit"),
  ]),
];

const declare = linesOf("B3");

export const DECLARATIONS = [
  declare(
    "`#[AsMessage(transport)]`",
    "`defineMessage(name, { transport })`.",
    core("dispatching", "name a transport, which every pattern of the routing beats"),
  ),
  declare("`serializedTypeName`, `aliases`", "The name is mandatory; old names are read, and travel along for older builds.", [
    ...core("message", "finds types by name and by alias", "has a wire name that is safe in URLs, labels and queue names"),
    ...endToEnd("two-builds", "two builds side by side, with a renamed and a versioned message: no failure, no dead letter, no spinning"),
  ]),
  declare("`#[AsMessageHandler(bus)]`", "`{ bus }`.", core("handlers", "leaves out handlers for another transport or bus")),
  declare("`fromTransport`", "`{ fromTransport }`.", core("handlers", "leaves out handlers for another transport or bus")),
  declare(
    "`handles`, `method`",
    "Handlers are functions.",
    core("handlers", "runs in a thread, without a transaction, under the function's name, unless it says otherwise"),
  ),
  declare(
    "`priority`",
    "Order of the handlers of one message, high first.",
    core("handlers", "finds handlers by message, high priority first, in order of registration among equals"),
  ),
  declare("`sign`", "", [], "as signing above"),
  declare(
    "handlers for interfaces, parents, `*`",
    "Lists of types, `order.*` and `*`: the type's own first, then the longest pattern; each handler at most once per message, by its name. Message types have no parents here: their names do that.",
    [
      ...core(
        "handlers",
        "refuses two handlers of one name for one message: retries could not tell them apart",
        "finds handlers of several types, and of patterns: after the type's own, the longest first, each name once",
      ),
      ...cli("consume-many", "handlers of several types and of patterns run in threads, and consume --bus decides on which bus"),
    ],
  ),
  declare(
    "`HandlerDescriptor`",
    "A stable name in `debug`, in traces and in the list of handlers done.",
    core("handlers", "runs in a thread, without a transaction, under the function's name, unless it says otherwise"),
  ),
  declare(
    "extra handler arguments",
    "Everything comes through the context.",
    core("messenger", "a handler learns from its context what there is to know about its message"),
  ),
];
