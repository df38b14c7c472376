import type { DispatchOptions, DispatchReceipt, Messenger } from "@symphony/core";
import { defineCommand, STDIN, text, texts, toggle } from "../command.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { textOf } from "../lines.ts";
import { print } from "../output.ts";
import { openSession, withMessenger } from "../session.ts";
import { dispatchMany } from "./dispatch/many.ts";
import { parseJson, toDispatchOptions, typeOf } from "./dispatch/request.ts";

/** Far over what a message may have, and far below what the memory holds. */
const MAX_INPUT_BYTES = 64 * 1_048_576;

async function payloadOf(io: Io, given: string | undefined): Promise<unknown> {
  if (given !== STDIN) return given === undefined ? {} : parseJson(given, "the payload");
  try {
    return parseJson(await textOf(io.input, MAX_INPUT_BYTES), "standard input");
  } catch (cause) {
    throw cause instanceof UsageError ? cause : new UsageError(`standard input cannot be read: ${(cause as Error).message}`, { cause });
  }
}

interface One {
  readonly type: string;
  readonly payload: unknown;
  readonly options: DispatchOptions;
  readonly force: boolean;
  readonly json: boolean;
}

async function dispatchOne(io: Io, messenger: Messenger, { type, payload, options, force, json }: One): Promise<void> {
  const receipt = await messenger.dispatch(typeOf(messenger, type, force), payload, options);
  const scheduledAt = receipt.scheduledAt?.toISOString();
  const result = {
    success: true,
    ...receipt,
    ...(scheduledAt === undefined ? {} : { scheduledAt }),
    ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
  };
  print(io, json, result, () => toText(receipt, type, scheduledAt));
}

function toText(receipt: DispatchReceipt, type: string, scheduledAt: string | undefined): string {
  if (receipt.duplicate) return `${receipt.messageId} was sent before with this key; nothing was sent`;
  const when = scheduledAt === undefined ? "" : `, not before ${scheduledAt}`;
  return `${receipt.messageId} ${type} → ${receipt.transport}/${receipt.queue}${when}`;
}

export const dispatch = defineCommand({
  usage: "dispatch [type] [payload]",
  describe: "Send a message, or one per line of standard input with --many",
  remote: true,
  options: {
    queue: text("Queue instead of the message type's"),
    priority: text("1 to 10, higher first"),
    delay: text("Milliseconds from now before it may be received"),
    at: text("Not before this time, RFC 3339 with zone"),
    "expires-in": text("Milliseconds from when it is due: not started by then, it is given up on"),
    "idempotency-key": text("The same key again sends nothing"),
    deduplicate: text("Send nothing while a message with this key is not finished"),
    "partition-key": text("Messages with this key are handled one after the other"),
    bus: text("Bus instead of the default one"),
    header: texts("name=value; may be repeated"),
    transport: text("Transport instead of the routing's"),
    many: toggle("NDJSON from standard input: a payload per line, or without TYPE { type, payload, options }"),
    force: toggle("Send a type that the configuration does not know"),
  },
  positionals: (yargs) =>
    yargs
      .positional("type", { type: "string", describe: "Wire name of the message type" })
      .positional("payload", { type: "string", describe: "JSON, or - for standard input; {} when left out" }),
  examples: [
    [`symphony dispatch image.resize '{"url":"https://example.org/a.png","width":200}'`, "one message"],
    ["symphony dispatch report.nightly --at 2026-06-01T02:00:00Z", "for later, with the payload {}"],
    ["symphony dispatch image.resize --many < payloads.ndjson", "a payload per line"],
    ["zcat messages.ndjson.gz | symphony dispatch --many", "type, payload and options per line"],
  ],
  async run(io, flags) {
    const [type, payload] = [flags.type as string | undefined, flags.payload as string | undefined];
    if (type === undefined && !flags.many) throw new UsageError("dispatch needs a message type: symphony dispatch TYPE [JSON|-]");
    if (flags.many && payload !== undefined && payload !== STDIN)
      throw new UsageError("--many reads payloads from standard input: leave the payload out");
    // Before anything connects: what is wrong with the command line must not wait for a database.
    const options = toDispatchOptions(flags);
    const value = flags.many ? undefined : await payloadOf(io, payload);
    const session = await openSession(io, flags);
    const common = { options, force: flags.force, json: flags.json === true };
    await withMessenger(session, (messenger) =>
      flags.many
        ? dispatchMany(io, messenger, { ...common, type })
        : dispatchOne(io, messenger, { ...common, type: type ?? "", payload: value }),
    );
  },
});
