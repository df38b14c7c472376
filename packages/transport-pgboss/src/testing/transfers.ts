import { createMessenger, defineHandler, defineMessage, type Messenger, type Transport, Worker } from "@symphony/core";
import type pg from "pg";

/** A transactional handler with two writes and a dispatch between them, for tests that kill it at every step. */

export const Transfer = defineMessage("transfer", { queue: "transfers" });
const Receipt = defineMessage("transfer.receipt", { queue: "receipts" });
export const QUEUES = ["transfers", "receipts"];

/** @param prepare - Gets the client before its first statement in the handler. */
export function openMessenger(transport: Transport, schema: string, prepare: (client: pg.ClientBase) => void): Promise<Messenger> {
  const transfer = defineHandler(
    Transfer,
    async (payload, context) => {
      const client = context.db as pg.ClientBase;
      const { account } = payload as { account: string };
      prepare(client);
      await client.query(`INSERT INTO ${schema}.entry (account, side) VALUES ($1, 'debit')`, [account]);
      await context.dispatch(Receipt, { account });
      await client.query(`INSERT INTO ${schema}.entry (account, side) VALUES ($1, 'credit')`, [account]);
    },
    { transactional: true, execution: "inline" },
  );
  return createMessenger(
    { transports: { default: { dsn: "given:" } }, handlers: [transfer], messages: [Receipt] },
    { transports: { default: transport } },
  );
}

/** Handles transfers until there are none. */
export async function drainTransfers(transport: Transport, messenger: Messenger, workerId: string): Promise<void> {
  await new Worker({ transport, messenger, workerId, queues: ["transfers"], pollInterval: 50, stopWhenEmpty: true }).start();
}
