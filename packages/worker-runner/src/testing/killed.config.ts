import { defineConfig, defineHandler, defineMessage } from "@symphony/core";

/**
 * A transactional handler in a pool thread, whose process is killed with SIGKILL at one statement of its transaction: the
 * handler's own, those of its dispatch, the acknowledgement, the commit. `SYMPHONY_TEST_KILL` is the number of the statement
 * (from 1) and the moment: before it is sent, when it has been sent, or when it was answered.
 */
interface Client {
  query(...args: readonly unknown[]): Promise<unknown>;
}

export const Transfer = defineMessage("transfer", { queue: "transfers" });
export const Receipt = defineMessage("receipt", { queue: "receipts" });

const [at, when] = (process.env.SYMPHONY_TEST_KILL ?? "").split(" ");

function kill(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;);
}

function killAt(client: Client): void {
  const query = client.query.bind(client);
  let count = 0;
  client.query = (...args) => {
    count += 1;
    if (count !== Number(at)) return query(...args);
    if (when === "before") kill();
    const answered = query(...args);
    if (when === "sent") setImmediate(kill);
    return answered.then(kill);
  };
}

const transfer = defineHandler(
  Transfer,
  async (payload, context) => {
    const { account } = payload as { account: string };
    const client = context.db as Client;
    killAt(client);
    await client.query("INSERT INTO entry (account, side) VALUES ($1, 'debit')", [account]);
    await context.dispatch(Receipt, { account });
    await client.query("INSERT INTO entry (account, side) VALUES ($1, 'credit')", [account]);
  },
  { transactional: true },
);

export default defineConfig({
  transports: { default: { dsn: process.env.SYMPHONY_TEST_DSN ?? "" } },
  handlers: [transfer],
  messages: [Receipt],
});
