import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { acquire, EmbeddedPostgresError } from "./index.ts";
import { canReach, filesOf, locate } from "./location.ts";
import { readHostRecord } from "./protocol.ts";
import { startHolder } from "./testing/holder.ts";
import { processesOf, waitForHost, waitUntilGone } from "./testing/processes.ts";
import { deadlineIn, until } from "./timing.ts";

const isRoot = process.getuid?.() === 0;
const NOBODY = { name: "nobody", uid: 65_534, gid: 65_534 };
const canBeTwoUsers = isRoot && canReach(process.execPath, NOBODY) && canReach(import.meta.filename, NOBODY);
const LINGER_MS = 500;
// What stopping may take on top of the linger time.
// Time enough for a checkpoint on a slow disk: the claim is that it ends, not when.
const STOP_MS = 20_000;

const made: string[] = [];
function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "symphony-test-"));
  made.push(directory);
  // Enterable for the user that PostgreSQL runs as when we are root.
  chmodSync(directory, 0o755);
  return directory;
}
after(async () => {
  for (const directory of made) {
    await waitUntilGone(directory, 10_000);
    rmSync(directory, { recursive: true, force: true });
  }
});

async function query(connectionString: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const storeOrders = "create table orders (id int); insert into orders select generate_series(1, 1000)";
async function assertOrdersAreThere(connectionString: string): Promise<void> {
  assert.deepEqual(await query(connectionString, "select count(*)::int as n from orders"), [{ n: 1000 }]);
}

async function only(pids: () => readonly number[]): Promise<number> {
  const pid = await until(() => (pids().length === 1 ? pids()[0] : undefined), deadlineIn(5_000));
  assert.ok(pid, `not exactly one process: ${pids()}`);
  return pid;
}

describe("acquire", { skip: process.platform === "linux" ? false : "looks at processes in /proc" }, () => {
  it("starts one server for ten processes that ask at once", async () => {
    const directory = newDirectory();
    const holders = await Promise.all(Array.from({ length: 10 }, () => startHolder(directory)));
    assert.equal(new Set(holders.map((holder) => holder.connectionString)).size, 1);
    await only(() => processesOf(directory).hosts);
    await only(() => processesOf(directory).postmasters);
    await Promise.all(holders.map((holder) => holder.release()));
    await waitUntilGone(directory, STOP_MS);
  });

  it("keeps data, password and port from one run to the next", async () => {
    const directory = newDirectory();
    const first = await startHolder(directory);
    await query(first.connectionString, storeOrders);
    await first.release();
    await waitUntilGone(directory, STOP_MS);
    const second = await startHolder(directory);
    assert.equal(second.connectionString, first.connectionString);
    await assertOrdersAreThere(second.connectionString);
    await second.release();
  });

  it("stops the server, and loses nothing, when the last client is killed", async () => {
    const directory = newDirectory();
    const victim = await startHolder(directory, { lingerMs: LINGER_MS });
    await query(victim.connectionString, storeOrders);
    await victim.kill();
    await waitUntilGone(directory, LINGER_MS + STOP_MS);
    const next = await startHolder(directory);
    await assertOrdersAreThere(next.connectionString);
    await next.release();
  });

  it("keeps the server for the others when one client is killed or releases", async () => {
    const directory = newDirectory();
    const [killed, released, kept] = await Promise.all([startHolder(directory), startHolder(directory), startHolder(directory)]);
    const session = new pg.Client({ connectionString: kept.connectionString });
    await session.connect();
    await killed.kill();
    await released.release();
    // Longer than the linger time of either, by the server's clock.
    await session.query("select pg_sleep(0.5)");
    await session.end();
    await kept.release();
    await waitUntilGone(directory, STOP_MS);
  });

  it("takes the server over, without ending a session, when its host is killed", async () => {
    const directory = newDirectory();
    const holder = await startHolder(directory);
    const session = new pg.Client({ connectionString: holder.connectionString });
    await session.connect();
    const postmaster = await only(() => processesOf(directory).postmasters);
    const host = await only(() => processesOf(directory).hosts);
    process.kill(host, "SIGKILL");
    await waitForHost(directory, host);
    await session.query(storeOrders);
    assert.equal(await only(() => processesOf(directory).postmasters), postmaster);
    await session.end();
    const late = await startHolder(directory);
    await assertOrdersAreThere(late.connectionString);
    await holder.release();
    await late.release();
    await waitUntilGone(directory, STOP_MS);
  });

  it("starts the server again, on its port, when the server itself is killed", async () => {
    const directory = newDirectory();
    const claim = await acquire({ directory, lingerMs: 0 });
    const { connectionString } = claim;
    await query(connectionString, storeOrders);
    const postmaster = await only(() => processesOf(directory).postmasters);
    process.kill(postmaster, "SIGKILL");
    const other = await until(() => processesOf(directory).postmasters.find((pid) => pid !== postmaster), deadlineIn(10_000));
    assert.ok(other);
    const late = await startHolder(directory);
    assert.equal(late.connectionString, connectionString);
    await assertOrdersAreThere(connectionString);
    await late.release();
    await claim.release();
    await waitUntilGone(directory, STOP_MS);
  });

  it("puts a server that lost host and clients at once under a new host", async () => {
    const directory = newDirectory();
    const holder = await startHolder(directory);
    await query(holder.connectionString, storeOrders);
    const postmaster = await only(() => processesOf(directory).postmasters);
    const host = await only(() => processesOf(directory).hosts);
    await holder.kill();
    process.kill(host, "SIGKILL");
    const next = await startHolder(directory);
    await assertOrdersAreThere(next.connectionString);
    await next.release();
    await waitUntilGone(directory, STOP_MS);
    assert.ok(!processesOf(directory).all.includes(postmaster));
  });

  it("is not misled by what a crash of the machine leaves", async () => {
    const directory = newDirectory();
    const first = await startHolder(directory);
    await query(first.connectionString, storeOrders);
    await first.release();
    await waitUntilGone(directory, STOP_MS);
    const { data, host } = filesOf(directory);
    // A pid that is in use by now, for something else: this process.
    writeFileSync(join(data, "postmaster.pid"), `${process.pid}\n${data}\n1700000000\n5432\n\n127.0.0.1\n 123 456\nready   \n`);
    if (isRoot) chmodSync(join(data, "postmaster.pid"), 0o644);
    writeFileSync(host, `{"pid":${process.pid},"port":1,"token":"of a dead host"}\n`);
    const next = await startHolder(directory);
    await assertOrdersAreThere(next.connectionString);
    await next.release();
  });

  it("starts over where initialising was cut short, and deletes nothing that it does not know", async () => {
    const directory = newDirectory();
    mkdirSync(join(directory, "draft-left", "data", "base"), { recursive: true });
    mkdirSync(join(directory, "data"));
    writeFileSync(join(directory, "data", "precious"), "");
    const holder = await startHolder(directory);
    assert.deepEqual(await query(holder.connectionString, "select 1 as one"), [{ one: 1 }]);
    await holder.release();
    await waitUntilGone(directory, STOP_MS);
    assert.ok(!existsSync(join(directory, "draft-left")));
    const aside = readdirSync(directory).find((name) => name.startsWith("data-unusable-"));
    assert.ok(aside !== undefined && existsSync(join(directory, aside, "precious")));
  });

  it("runs with durable commits, UTF-8 and room for a fleet", async () => {
    const claim = await acquire({ directory: newDirectory(), lingerMs: 0 });
    const names = ["fsync", "synchronous_commit", "full_page_writes", "max_connections", "server_encoding", "password_encryption"];
    const [settings] = await query(claim.connectionString, `select ${names.map((name) => `current_setting('${name}') as ${name}`).join()}`);
    assert.deepEqual(settings, {
      fsync: "on",
      synchronous_commit: "on",
      full_page_writes: "on",
      max_connections: "200",
      server_encoding: "UTF8",
      password_encryption: "scram-sha-256",
    });
    await query(claim.connectionString, "create extension pg_stat_statements");
    assert.match(claim.version, /^18\.\d+$/);
    await claim.release();
    await claim.release();
  });

  it("lets nobody in who cannot read the directory", async (t: TestContext) => {
    const directory = newDirectory();
    const claim = await acquire({ directory, lingerMs: 0 });
    t.after(() => claim.release());
    const files = filesOf(directory);
    for (const secret of [files.credentials, files.host]) assert.equal(statSync(secret).mode & 0o077, 0, secret);
    const wrong = new URL(claim.connectionString);
    wrong.password = "guess";
    await assert.rejects(query(wrong.href, "select 1"), { code: "28P01" });
    const socket = connect({ host: "127.0.0.1", port: readHostRecord(files.host)?.port ?? 0 });
    let heard = "";
    socket.on("data", (chunk) => {
      heard += String(chunk);
    });
    socket.write('{"token":"guess","lingerMs":0}\n');
    await once(socket, "close");
    assert.equal(heard, "");
  });

  it("lets a process end that holds a claim and has nothing else to do", async () => {
    const directory = newDirectory();
    const holder = await startHolder(directory, { keepOpen: false });
    await holder.exited;
    await waitUntilGone(directory, STOP_MS);
  });

  it("runs as root below a directory that PostgreSQL's user cannot enter", { skip: isRoot ? false : "needs root" }, async () => {
    const closed = mkdtempSync(join(tmpdir(), "symphony-test-closed-"));
    made.push(closed);
    const { directory } = locate(join(closed, "postgres"));
    made.push(directory);
    assert.ok(!directory.startsWith(closed));
    const holder = await startHolder(join(closed, "postgres"));
    assert.deepEqual(await query(holder.connectionString, "select 1 as one"), [{ one: 1 }]);
    assert.equal(readFileSync(join(directory, "origin"), "utf8").trim(), join(closed, "postgres"));
    await holder.release();
  });

  it("runs as an ordinary user, and refuses another one's data", {
    skip: canBeTwoUsers ? false : "needs root, and a checkout that others can enter",
  }, async () => {
    const parent = newDirectory();
    chmodSync(parent, 0o777);
    const directory = join(parent, "postgres");
    const holder = await startHolder(directory, { uid: NOBODY.uid });
    assert.deepEqual(await query(holder.connectionString, "select 1 as one"), [{ one: 1 }]);
    assert.equal(statSync(directory).uid, NOBODY.uid);
    await holder.kill();
    await waitUntilGone(directory, STOP_MS);
    const other = join(newDirectory(), "postgres");
    mkdirSync(other, { mode: 0o700 });
    await assert.rejects(startHolder(other, { uid: NOBODY.uid }), /EmbeddedPostgresError: cannot use the directory .* EACCES/);
  });

  it("says why when it cannot start", async () => {
    const directory = newDirectory();
    const { data, serverLog } = filesOf(directory);
    const holder = await startHolder(directory);
    await holder.release();
    await waitUntilGone(directory, STOP_MS);
    writeFileSync(join(data, "postgresql.conf"), "no_such_setting = 1\n");
    await assert.rejects(
      acquire({ directory }),
      (error) => error instanceof EmbeddedPostgresError && /no_such_setting/.test(error.message),
    );
    assert.match(readFileSync(serverLog, "utf8"), /no_such_setting/);
    await waitUntilGone(directory, STOP_MS);
  });

  const built = fileURLToPath(new URL("../dist/testing/claim-holder.js", import.meta.url));
  it("runs from its build as from its sources", { skip: existsSync(built) ? false : "not built" }, async () => {
    const directory = newDirectory();
    const [source, build] = await Promise.all([startHolder(directory), startHolder(directory, { program: built })]);
    assert.equal(build.connectionString, source.connectionString);
    await source.release();
    await build.release();
    await waitUntilGone(directory, STOP_MS);
    const alone = await startHolder(directory, { program: built });
    await alone.release();
  });

  it("refuses options that it does not know", async () => {
    const options = { dir: "elsewhere" } as object;
    await assert.rejects(acquire(options), /dir is not an option; known: directory, lingerMs, timeoutMs/);
    await assert.rejects(acquire({ lingerMs: -1 }), /lingerMs must be/);
  });
});
