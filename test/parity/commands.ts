import { admin, cli, contract, core, endToEnd, linesOf, runner } from "./line.ts";

const line = linesOf("B1");

const LIFE = "a message's life from the command line: set up, dispatch, consume, status, failed list, show, retry, remove";

export const COMMANDS = [
  line(
    "`messenger:consume [receivers]`",
    "`symphony consume [transports]`: a fleet of processes over one transport or several; the order of `--queues` is the precedence.",
    [
      ...cli("fleet", "both processes handle messages; kill -9 of one brings its work and a new process back"),
      ...contract("receiving", "takes nothing from a queue while an earlier one has messages"),
    ],
    "the question for transports when none is named at a terminal",
  ),
  line("`--limit`", "Exit 0 after so many messages; what is in flight ends first.", [
    ...core("worker", "starts no message beyond messageLimit and gives that as the reason"),
    ...cli("consume", "stops at each limit with exit code 0 and says which"),
  ]),
  line("`--failure-limit`", "Ends after so many failed attempts and says so.", core("worker", "stops at failureLimit and counts failures")),
  line("`--memory-limit`", "K, M and G; a process over it is replaced.", [
    ...cli("settings", "memory limits take K, M and G"),
    ...core("worker", "stops at memoryLimit after a message"),
    ...cli("fleet", "--memory-limit replaces a process that takes more, and the fleet stays alive and ready"),
  ]),
  line("`--time-limit`", "Seconds; ends also when idle.", [
    ...core("worker", "stops at timeLimit although it is idle"),
    ...cli("settings", "--time-limit counts in seconds, the variable in milliseconds"),
  ]),
  line("`--sleep`", "`--poll-interval`: only the fallback while wake-ups work.", [
    ...endToEnd("wake", "an idle fleet starts a message within 250 ms of its dispatch, polling only once a minute"),
  ]),
  line(
    "`--bus`",
    "Every message on this bus.",
    cli("consume-many", "handlers of several types and of patterns run in threads, and consume --bus decides on which bus"),
  ),
  line("`--queues`", "Only these, in this order; a queue that does not exist is an error.", [
    ...cli("settings", "queues come as a list, comma separated or repeated, in order and once each"),
    ...contract("receiving", "receives only from the queues that were asked for"),
  ]),
  line("`--no-reset`", "Services of `resettable` are reset after each message; `--no-reset` never, `--no-reset=N` after every N.", [
    ...core("resets", "happen after every message, after so many, or never"),
    ...cli(
      "resets",
      "consume resets services between messages, in threads as in the process; --no-reset does not, --no-reset=N after every N",
    ),
  ]),
  line(
    "`--all`",
    "Without names it is all transports that can be consumed, at the same time.",
    cli("consume-many", "consume --all works on several transports at the same time, in one process; --exclude leaves one out"),
  ),
  line(
    "`--exclude-receivers`",
    "`--exclude`, an error without `--all`.",
    cli("consume", "bad flags of consume exit 2 before anything is connected"),
  ),
  line("`--keepalive`", "Always on: leases hang on a beat of the process, every 3 s.", [
    ...runner("lease-keeper", "grants with the first beat, keeps the lease for as long as it beats, and leaves nothing behind"),
    ...runner("thread-pool", "heartbeats keep a long handler alive"),
  ]),
  line(
    "`--fetch-size`",
    "`--batch-size`, apart from `--concurrency`.",
    core("worker", "does not receive beyond its slots while handlers are slow"),
  ),
  line("`-v`, `-vv`, `-vvv`", "`-v`, `-vv`: level of the log; every line of a handler names its message.", [
    ...cli("cli", "bad configuration exits 64, names the field and shows a stack only with -vv"),
    ...runner("thread-pool", "log records arrive with their fields, from the level on that is asked for"),
  ]),
  line("SIGTERM, SIGINT, SIGQUIT", "Finish what is in flight; a second signal hands it back at once, uncounted.", [
    ...cli(
      "consume",
      "SIGTERM: finishes what is in flight, hands back the rest, exits 0",
      "a second SIGTERM hands back what is in flight at once, uncounted",
    ),
    ...cli("consume", "SIGINT and SIGQUIT stop it as well, and --shutdown-timeout bounds the waiting"),
  ]),
  line("`messenger:failed:show`", "`symphony failed list`, `failed show ID`.", [
    ...cli("life", LIFE),
    ...cli("cli", "failed show says that there is no such message"),
  ]),
  line("… `--max`, `--transport`, `--stats`, `--class-filter`", "`--limit`, `--type`; `failed groups` counts per bug.", [
    ...cli("life", "failed retry and remove take exactly what the filter matches"),
    ...contract("dead-letter-groups", "groups by fingerprint, largest first, with what the newest tells"),
  ]),
  line(
    "… filter by time of failure",
    "`--since`, `--until`.",
    contract("dead-letters", "lists the newest first and filters by time: since is included, until is not"),
  ),
  line(
    "`messenger:failed:retry`",
    "`symphony failed retry`: chosen ones, all, or one by one with a question; back to the own queue, which is Symfony's wished-for `--dispatch`.",
    [
      ...cli("life", LIFE),
      ...cli("failed", "retry without ids walks through them at a terminal: retry, delete, skip, quit, each at once"),
      ...contract("dead-letters", "redrives with the same id, queue and priority, counters at zero and the history kept"),
    ],
  ),
  line("… `--force`, `--transport`, `--keepalive`", "`--force` does not ask.", [
    ...cli("confirm", "does not ask with --force, and refuses where nobody can be asked"),
    ...cli(
      "failed",
      "the walk ends with Ctrl-D, takes a filter and a limit, and is not for scripts: --force means all, without a question",
    ),
  ]),
  line("`messenger:failed:remove`", "Says how many, asks, and removes no more than that.", [
    ...cli("life", "failed retry and remove take exactly what the filter matches"),
    ...contract("dead-letters", "removes dead letters for good, and only those that the filter names"),
  ]),
  line("`messenger:setup-transports`", "`symphony setup [--dry-run]`: idempotent, from many places at once.", [
    ...contract(
      "capabilities",
      "sets up again, from several places at once, without harm to what is stored",
      "has nothing left to set up, and says so",
    ),
  ]),
  line("`messenger:stats`", "`symphony status [--json]`: also active, failed and the oldest age.", [
    ...cli("cli", "status shows every queue, and JSON for scripts"),
    ...contract("capabilities", "counts per queue what is ready, scheduled, active, failed and completed"),
    ...admin("routes", "shows status, queues, workers and scaling of what is there"),
  ]),
  line("`messenger:stop-workers`", "`symphony stop-workers`: those that run now, not those started later.", [
    ...cli("fleet", "stop-workers replaces the processes of running fleets"),
    ...contract("supervising", "asks the whole fleet to stop, with a time that workers can compare"),
  ]),
  line(
    "`debug:messenger`",
    "`symphony debug`: messages, handlers, routes, buses, and what does not fit.",
    cli("cli", "debug finds routes with no handler and messages with none"),
  ),
  line(
    "`debug:scheduler`",
    "`symphony schedule list`.",
    core("schedules/scheduler", "are listed with what comes next, those of other builds too, and can be removed"),
  ),
];
