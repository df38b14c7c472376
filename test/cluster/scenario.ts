import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createMessenger, defineMessage, type Messenger } from "@symphony/core";
import pg from "pg";
import { CHART } from "../chart/tools.ts";
import { installAudit, readSettlements } from "../support/audit-trigger.ts";
import { check, type Verdict } from "../support/checker.ts";
import type { Database } from "../support/database.ts";
import type { Fault, JournalEntry, RunEntry } from "../support/journal.ts";
import { allMessages, UNFINISHED } from "../support/messages.ts";
import { type Random, seeded } from "../support/random.ts";
import type { Report } from "../support/report.ts";
import { type Cluster, DEPLOYMENT, type Expendable, NAMESPACE, RELEASE } from "./cluster.ts";
import { checkConfiguration, drainedEvents, resizePod } from "./one-pod.ts";

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const VALUES = path("./load-values.yaml");
const DATABASE_NAMESPACE = "symphony-database";
const CREDENTIALS = ["--from-literal=username=postgres", "--from-literal=password=secret"];
const Work = defineMessage("test.work");
const argument = process.argv.indexOf("--messages");
const MESSAGES = argument < 0 ? 20_000 : Number(process.argv[argument + 1]);
/** Messages of one insert, and milliseconds between two: the load lasts as long as what is done under it. */
const BATCH = 100;
const PAUSE_MS = 1_200;
const DRAINED_WITHIN_MS = 180_000;
const DELETIONS = 3;
/** Messages that are sent just before a node fails, and milliseconds that each takes. */
const LOST_WITH = 400;
const LONG_MS = 3_000;
const GONE_WITHIN_MS = 60_000;
const WORKERS = "app.kubernetes.io/component=worker-default";
const ROLLED = ["workers.default.podLabels.rolled=yes"];

export async function runScenario(cluster: Cluster, report: Report): Promise<void> {
  try {
    const ready = await report.step("the database and a namespace that enforces restricted are there", () => prepare(cluster));
    if (!ready) return;
    const installed = await report.step("helm install: the hook migrates, the pods get ready", () => install(cluster));
    if (!installed) return;
    await report.step("helm test: a round trip through the fleet", () =>
      cluster.helm(["test", RELEASE, "--logs", "--timeout", "120s"]).then(lastLine),
    );
    await report.step("a configuration with a slip: the new pod stays in Init and says which, the old one goes on", () =>
      checkConfiguration(cluster, CHART, VALUES),
    );
    await report.step("a pod that is resized in place goes on, with heaps of the new size", () => resizePod(cluster));
    const port = await cluster.forward(DATABASE_NAMESPACE, "pod/postgres", 5432);
    await using load = await Load.start(`postgresql://postgres:secret@127.0.0.1:${port}/postgres`);
    await underLoad(cluster, load, report);
    await report.step("helm uninstall leaves nothing behind but the database", () => uninstall(cluster, load));
  } finally {
    await cluster.try(["delete", "namespace", NAMESPACE, DATABASE_NAMESPACE, "--timeout=60s"], { withinMs: 90_000 });
  }
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

async function prepare(cluster: Cluster): Promise<undefined> {
  // The database is on the node that stays.
  if (cluster.expendable !== undefined) await cluster.kubectl(["cordon", cluster.expendable.name]);
  await cluster.kubectl(["apply", "-f", path("./postgres.yaml")]);
  await cluster.kubectl(["-n", DATABASE_NAMESPACE, "wait", "--for=condition=Ready", "pod/postgres", "--timeout=120s"], {
    withinMs: 130_000,
  });
  if (cluster.expendable !== undefined) await cluster.kubectl(["uncordon", cluster.expendable.name]);
  await cluster.kubectl(["create", "namespace", NAMESPACE]);
  await cluster.kubectl(["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"]);
  await cluster.kubectl(["-n", NAMESPACE, "create", "secret", "generic", "messenger-database", ...CREDENTIALS]);
  return undefined;
}

async function install(cluster: Cluster): Promise<string> {
  const startedAt = performance.now();
  await cluster.install("install", VALUES);
  return `${seconds(startedAt)}, ${await podReadyTime(cluster)}`;
}

/** From the start of the container to its readiness, as the kubelet saw it. */
async function podReadyTime(cluster: Cluster): Promise<string> {
  const [name = ""] = await cluster.pods();
  const read = async (jsonpath: string): Promise<number> =>
    Date.parse(await cluster.kubectl(["-n", NAMESPACE, "get", "pod", name, "-o", `jsonpath=${jsonpath}`]));
  const started = await read("{.status.containerStatuses[0].state.running.startedAt}");
  const ready = await read('{.status.conditions[?(@.type=="Ready")].lastTransitionTime}');
  return `pod ready ${(ready - started) / 1_000} s after its container started`;
}

async function underLoad(cluster: Cluster, load: Load, report: Report): Promise<void> {
  const scale = async (replicas: number): Promise<string> => {
    const startedAt = performance.now();
    await cluster.kubectl(["-n", NAMESPACE, "scale", `deployment/${DEPLOYMENT}`, `--replicas=${replicas}`]);
    await cluster.scaled(replicas);
    return `${seconds(startedAt)}, ${load.sent} messages sent so far`;
  };
  await report.step("kubectl scale 1 → 4 under load", () => scale(4));
  await report.step("a rolling upgrade under load, which keeps what kubectl scale has set", async () => {
    const took = await roll(cluster, () => cluster.install("upgrade", VALUES, ROLLED));
    await cluster.scaled(4);
    return took;
  });
  await report.step("kubectl drain: never more pods away than the disruption budget allows", () => drain(cluster));
  // Here Helm 4 has to be told: what it goes back to has another number than kubectl scale has set.
  await report.step("helm rollback under load", () =>
    roll(cluster, () => cluster.helm(["rollback", RELEASE, "1", "--force-conflicts", "--wait", "--timeout", "180s"])),
  );
  await report.step("kubectl scale up again, and pods deleted at random, gracefully", async () => {
    await scale(4);
    for (let i = 0; i < DELETIONS; i++) await deletePod(cluster, load.random, ["--wait=false"]);
    await cluster.scaled(4);
    return `${DELETIONS} pods`;
  });
  await report.step("kubectl scale 4 → 1 under load", () => scale(1));
  await report.step("pods that were scaled in have said that they drained, as Events", () => drainedEvents(cluster));
  await report.step("so far nothing is lost, and nothing was handled twice", () => load.judge([]));
  const faults: Fault[] = [];
  await report.step("pods deleted with --grace-period=0: nothing is lost", async () => {
    await scale(3);
    for (let i = 0; i < DELETIONS; i++) faults.push(await load.killPod(cluster));
    await cluster.scaled(3);
    return load.judge(faults);
  });
  const { expendable } = cluster;
  if (expendable === undefined) process.stdout.write("NOT RUN: no node of this cluster may be lost\n");
  else
    await report.step("a node whose power fails: nothing is lost, and the pods come back elsewhere", async () => {
      await scale(4);
      faults.push(await load.loseNode(cluster, expendable));
      return replaceLost(cluster, expendable);
    });
  await report.step("in the end every message is accounted for", async () => {
    await load.finish();
    return load.judge(faults);
  });
}

/** What an operator does who knows that a node is gone; Kubernetes itself would wait for five minutes. */
async function replaceLost(cluster: Cluster, { name }: Expendable): Promise<string> {
  const startedAt = performance.now();
  await cluster.kubectl(["wait", "--for=condition=Ready=Unknown", `node/${name}`, "--timeout=60s"], { withinMs: 65_000 });
  const noticed = seconds(startedAt);
  await cluster.kubectl(["-n", NAMESPACE, "delete", "pods", `--field-selector=spec.nodeName=${name}`, "--grace-period=0", "--force"]);
  await cluster.scaled(4);
  return `noticed after ${noticed}, replaced after ${seconds(startedAt)}`;
}

async function roll(cluster: Cluster, change: () => Promise<string>): Promise<string> {
  const before = await cluster.pods();
  const startedAt = performance.now();
  await change();
  const after = await cluster.pods();
  const isGone = (name: string): boolean => !after.includes(name) || before.length > after.length;
  assert.ok(before.some(isGone), "no pod was replaced");
  return seconds(startedAt);
}

/** With one node the evicted pod has nowhere to go, and the budget holds up the drain; with several it ends. */
async function drain(cluster: Cluster): Promise<string> {
  // The same pods; from two on there is a budget.
  await cluster.install("upgrade", VALUES, [...ROLLED, "workers.default.replicas=4"]);
  const nodes = (await cluster.kubectl(["get", "nodes", "-o", "name", "--selector=!node-role.kubernetes.io/control-plane"])).split("\n");
  const [name = ""] = await cluster.pods();
  const node = await cluster.kubectl(["-n", NAMESPACE, "get", "pod", name, "-o", "jsonpath={.spec.nodeName}"]);
  const flags = [`--pod-selector=${WORKERS}`, "--delete-emptydir-data", "--ignore-daemonsets", "--force"];
  let fewest = 4;
  const watched = new AbortController();
  const watching = watchReady(cluster, watched.signal, (ready) => {
    fewest = Math.min(fewest, ready);
  });
  let left: number;
  try {
    const isAlone = nodes.length === 1;
    const done = await cluster.try(["drain", node, ...flags, `--timeout=${isAlone ? 20 : 120}s`], { withinMs: 130_000 });
    if (isAlone) assert.match(done.out + done.err, /would violate the pod's disruption budget/);
    else assert.equal(done.code, 0, done.err);
    left = (await cluster.podsOn(node)).length;
    if (!isAlone) assert.equal(left, 0);
  } finally {
    watched.abort();
    await cluster.kubectl(["uncordon", node]);
  }
  await watching;
  await cluster.scaled(4);
  assert.ok(fewest >= 3, `only ${fewest} pods were ready`);
  return `${nodes.length} nodes, ${fewest} of 4 pods ready at least, ${left} left on the node`;
}

async function watchReady(cluster: Cluster, signal: AbortSignal, see: (ready: number) => void): Promise<void> {
  while (!signal.aborted) {
    see(Number(await cluster.kubectl(["-n", NAMESPACE, "get", `deployment/${DEPLOYMENT}`, "-o", "jsonpath={.status.readyReplicas}"])));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function deletePod(cluster: Cluster, random: Random, flags: readonly string[]): Promise<string> {
  const pods = await cluster.pods();
  const name = pods[Math.floor(random.next() * pods.length)] ?? "";
  await cluster.kubectl(["-n", NAMESPACE, "delete", "pod", name, ...flags]);
  return name;
}

async function uninstall(cluster: Cluster, load: Load): Promise<string> {
  await cluster.helm(["uninstall", RELEASE, "--wait", "--timeout", "120s"]);
  // Its pods still drain when helm has ended.
  const until = Date.now() + GONE_WITHIN_MS;
  let left = await leftBehind(cluster);
  while (left.length > 0 && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    left = await leftBehind(cluster);
  }
  assert.deepEqual(left, []);
  const [row] = await load.database.query<{ n: number }>("SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'symphony'");
  assert.ok((row?.n ?? 0) > 0, "the tables are gone");
  return `${row?.n} tables stay`;
}

async function leftBehind(cluster: Cluster): Promise<readonly string[]> {
  const kinds = "all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget";
  const out = await cluster.kubectl(["-n", NAMESPACE, "get", kinds, "-l", `app.kubernetes.io/instance=${RELEASE}`, "-o", "name"]);
  // Helm keeps the pod of `helm test`, for its log.
  return out.split("\n").filter((name) => name !== "" && !name.endsWith("-test"));
}

const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`;

/** Messages that are sent all the while, and what became of them. */
class Load {
  readonly random = seeded(1);
  readonly database: Database;
  readonly #pool: pg.Pool;
  readonly #messenger: Messenger;
  readonly #entries: JournalEntry[] = [];
  readonly #stopping = new AbortController();
  readonly #sending: Promise<void>;
  sent = 0;

  private constructor(pool: pg.Pool, database: Database, messenger: Messenger) {
    this.#pool = pool;
    this.database = database;
    this.#messenger = messenger;
    this.#sending = this.#send();
    this.#sending.catch(() => undefined);
  }

  static async start(url: string): Promise<Load> {
    const pool = new pg.Pool({ connectionString: url, max: 3 });
    pool.on("error", () => undefined);
    const database = { query: async (sql: string, values?: unknown[]) => (await pool.query(sql, values)).rows } as unknown as Database;
    await pool.query(`CREATE TABLE journal (seq bigint GENERATED ALWAYS AS IDENTITY, kind text, value text, id text, attempt int,
      host text, pid int, thread int, at timestamptz DEFAULT clock_timestamp())`);
    await installAudit(database);
    const messenger = await createMessenger({
      transports: { default: { dsn: url, options: { autoSetup: false } } },
      routing: { "*": "default" },
    });
    return new Load(pool, database, messenger);
  }

  async #send(): Promise<void> {
    while (this.sent < MESSAGES && !this.#stopping.signal.aborted) {
      await this.#sendBatch(Math.min(BATCH, MESSAGES - this.sent), () => Math.floor(this.random.next() * 100));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #sendBatch(count: number, sleepMs: () => number): Promise<void> {
    const values = Array.from({ length: count }, () => `w-${this.#next++}`);
    for (const value of values) this.#entries.push({ kind: "invoke", value, at: Date.now() });
    const receipts = await Promise.all(values.map((value) => this.#messenger.dispatch(Work, { value, sleepMs: sleepMs() })));
    for (const [i, { messageId }] of receipts.entries()) {
      this.#entries.push({ kind: "ok", value: values[i] ?? "", id: messageId, at: Date.now() });
    }
    this.sent += count;
  }

  #next = 0;

  /** Deletes a pod without grace; the fault that this is. */
  async killPod(cluster: Cluster): Promise<Fault> {
    const from = await this.#now();
    const name = await deletePod(cluster, this.random, ["--grace-period=0", "--force"]);
    // Its container is killed a moment after its name is gone.
    return { name: "pod killed", from, until: (await this.#now()) + 15_000, pids: [await this.#numberOf(name)], overlap: true };
  }

  /** Has a node fail, with all pods on it. */
  async loseNode(cluster: Cluster, { name, fail }: Expendable): Promise<Fault> {
    const pods = await cluster.podsOn(name);
    assert.ok(pods.length > 0, `no worker is on ${name}`);
    // Whether the load has ended by now or not: it has messages in flight.
    await this.#sendBatch(LOST_WITH, () => LONG_MS);
    const isBusy = async (): Promise<boolean> =>
      (
        await this.database.query(
          "SELECT 1 FROM journal a WHERE kind = 'start' AND host = ANY($1) AND NOT EXISTS (SELECT 1 FROM journal b WHERE b.value = a.value AND b.kind = 'end') LIMIT 1",
          [pods],
        )
      ).length > 0;
    for (const until = Date.now() + GONE_WITHIN_MS; !(await isBusy()); ) {
      assert.ok(Date.now() < until, `nothing is in flight on ${name}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const from = await this.#now();
    await fail();
    const pids = await Promise.all(pods.map((pod) => this.#numberOf(pod)));
    return { name: "node lost", from, until: (await this.#now()) + 15_000, pids, overlap: true };
  }

  /** All are sent, and none is waiting or in flight. */
  async finish(): Promise<void> {
    await this.#sending;
    const until = Date.now() + DRAINED_WITHIN_MS;
    const open = async (): Promise<number> => {
      const sql = `SELECT count(*)::int AS n FROM ${allMessages()} WHERE name = 'default' AND ${UNFINISHED}`;
      return (await this.database.query<{ n: number }>(sql))[0]?.n ?? 0;
    };
    for (let n = await open(); n > 0; n = await open()) {
      if (Date.now() > until) throw new Error(`${n} messages are still waiting`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** What the checker says, when what was sent so far has been handled. @throws {Error} a promise was broken. */
  async judge(faults: readonly Fault[]): Promise<string> {
    await this.#settled();
    const verdict = await this.#check(faults);
    assert.deepEqual(verdict.violations, []);
    if (faults.length === 0) assert.equal(verdict.duplicates.length, 0);
    return `${verdict.accepted} accepted, ${verdict.handled} handled, ${verdict.lost.total} lost, ${verdict.duplicates.length} handled twice`;
  }

  /** Waits until the messages that were sent before now have been handled, while more are sent. */
  async #settled(): Promise<void> {
    const upTo = this.#entries.flatMap((entry) => (entry.kind === "ok" ? [entry.value] : []));
    const until = Date.now() + DRAINED_WITHIN_MS;
    const handled = async (): Promise<number> =>
      (
        await this.database.query<{ n: number }>(
          "SELECT count(DISTINCT value)::int AS n FROM journal WHERE kind = 'end' AND value = ANY($1)",
          [upTo],
        )
      )[0]?.n ?? 0;
    for (let n = await handled(); n < upTo.length; n = await handled()) {
      if (Date.now() > until) throw new Error(`${upTo.length - n} of ${upTo.length} messages were not handled`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    this.#judged = upTo.length;
  }

  #judged = 0;

  async #check(faults: readonly Fault[]): Promise<Verdict> {
    const rows = await this.database.query<RunEntry & { host: string } & Record<string, unknown>>(
      "SELECT kind, value, id, attempt, host, thread, (extract(epoch FROM at) * 1000)::float8 AS at FROM journal ORDER BY seq",
    );
    const runs: JournalEntry[] = [];
    for (const row of rows) runs.push({ ...row, pid: await this.#numberOf(row.host) });
    // Messages that are on their way while we look are judged the next time.
    const isOld = (entry: JournalEntry): boolean => !("value" in entry) || Number(entry.value.slice(2)) < this.#judged;
    const entries = [...this.#entries, ...runs].filter(isOld);
    const events: JournalEntry[] = faults.map((fault) => ({ kind: "fault", fault }));
    return check({ entries: [...entries, ...events], settlements: await readSettlements(this.database) });
  }

  /** Process ids are those of each container: the pod is what tells them apart. */
  async #numberOf(pod: string): Promise<number> {
    const known = this.#pods.get(pod) ?? this.#pods.size + 1;
    this.#pods.set(pod, known);
    return known;
  }

  readonly #pods = new Map<string, number>();

  /** The database's clock: that of the journal. */
  async #now(): Promise<number> {
    const [row] = await this.database.query<{ now: number }>("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now");
    return row?.now ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#sending.catch(() => undefined);
    await this.#messenger.close();
    await this.#pool.end();
  }
}
