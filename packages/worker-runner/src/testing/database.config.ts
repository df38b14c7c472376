import { defineConfig, defineHandler, defineMessage } from "@symphony/core";

/** Handlers that write into the database of their transport; `SYMPHONY_TEST_DSN` says where that is. */

export interface Booking {
  readonly account: string;
  /** What happens after the row was written. */
  readonly ending?: "throw" | "exit";
}

export const Book = defineMessage("book", { retry: { delayMs: 10, maxRetries: 1 } });
export const BookHere = defineMessage("book-here");
export const Booked = defineMessage("booked", { queue: "booked" });
export const Plain = defineMessage("plain");

interface Client {
  query(sql: string, values: readonly unknown[]): Promise<unknown>;
}

const book = defineHandler(
  Book,
  async (payload, context) => {
    const { account, ending } = payload as Booking;
    await (context.db as Client).query("INSERT INTO bookings (account, message_id) VALUES ($1, $2)", [account, context.messageId]);
    await context.dispatch(Booked, { account });
    if (ending === "throw") throw new Error("not after all");
    if (ending === "exit") process.exit(1);
  },
  { transactional: true },
);

const bookHere = defineHandler(
  BookHere,
  async (payload, context) => {
    const { account } = payload as Booking;
    await (context.db as Client).query("INSERT INTO bookings (account, message_id) VALUES ($1, $2)", [account, context.messageId]);
  },
  { transactional: true, execution: "inline" },
);

export default defineConfig({
  transports: { default: { dsn: process.env.SYMPHONY_TEST_DSN ?? "" } },
  handlers: [book, bookHere, defineHandler(Plain, () => undefined)],
  messages: [Booked],
});
