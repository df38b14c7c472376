import { parseArgs } from "node:util";

export interface Arguments {
  /** Work through everything, print the summary, exit. */
  readonly once: boolean;
  /** Kill the worker with SIGKILL in the middle of the work, so many times. */
  readonly kills: number;
  /** Webhooks a second. */
  readonly rate: number;
  /** Of the receiver; 0: any free one. */
  readonly port: number;
  /** Start no worker: somebody else runs `symphony consume` with this example's configuration. */
  readonly withoutWorker: boolean;
  /** Of the subscribers; 0: any free one. */
  readonly subscriberPort: number;
  /** Pass on what the worker logs. */
  readonly verbose: boolean;
  readonly help: boolean;
}

export const USAGE = `Works through every payload of @octokit/webhooks-examples on an embedded PostgreSQL, or on DATABASE_URL.

  npm start [-- OPTIONS]

  --once            end after the summary: 0 when every message is accounted for, 1 otherwise
  --kill-worker [N] kill the worker (SIGKILL) in the middle of the work, N times (1); it is started again
  --rate N          webhooks a second (150)
  --port N          port of the webhook receiver (any free one)
  --without-worker  start no worker: another process or container runs \`symphony consume\` with this configuration
  --subscriber-port N  port of the subscribers, for such a worker's WEBHOOKS_SUBSCRIBER_URL (any free one)
  --verbose         pass on what the worker logs
  --help            this
`;

/** The command line is wrong; the message says what about it. */
export class ArgumentError extends Error {
  override readonly name = "ArgumentError";
}

/** @throws {ArgumentError} */
export function parseArguments(argv: readonly string[]): Arguments {
  try {
    const { values } = parseArgs({
      args: withOptionalCount(argv),
      options: {
        once: { type: "boolean", default: false },
        "kill-worker": { type: "string", default: "0" },
        rate: { type: "string", default: "150" },
        port: { type: "string", default: "0" },
        "without-worker": { type: "boolean", default: false },
        "subscriber-port": { type: "string", default: "0" },
        verbose: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    return {
      once: values.once,
      kills: whole("--kill-worker", values["kill-worker"], 0, 10),
      rate: whole("--rate", values.rate, 1, 100_000),
      port: whole("--port", values.port, 0, 65_535),
      withoutWorker: values["without-worker"],
      subscriberPort: whole("--subscriber-port", values["subscriber-port"], 0, 65_535),
      verbose: values.verbose,
      help: values.help,
    };
  } catch (error) {
    if (error instanceof ArgumentError) throw error;
    throw new ArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** `--kill-worker` alone means once. */
function withOptionalCount(argv: readonly string[]): string[] {
  return argv.map((word, i) => (word === "--kill-worker" && !/^\d+$/.test(argv[i + 1] ?? "") ? "--kill-worker=1" : word));
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new ArgumentError(`${name} must be a whole number from ${min} to ${max}, got "${text}"`);
  return value;
}
