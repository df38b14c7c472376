import { ConfigError, NAME_PATTERN } from "@symphony/core";
import { defineCommand, defineGroup, text, texts } from "../command.ts";
import { UsageError } from "../exit-codes.ts";
import { print } from "../output.ts";

const PREFIX = "symphony:";
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `read,operate` or with the prefix; each once. */
function scopesOf<S extends string>(given: readonly string[], known: readonly S[]): readonly S[] {
  const wanted = given.flatMap((part) => part.split(",")).map((part) => part.trim());
  return [...new Set(wanted.filter((part) => part !== ""))].map((part) => {
    const scope = known.find((each) => each === part || each === PREFIX + part);
    if (scope === undefined) throw new UsageError(`--scopes: no scope "${part}"; there are ${known.join(", ")}`);
    return scope;
  });
}

/** `a,b`, given once or several times. */
const listOf = (given: readonly string[] | undefined): readonly string[] | undefined =>
  given?.flatMap((part) => part.split(",")).map((part) => part.trim());

/** What a file would be refused for is a slip of the command line here. */
function asUsage<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error;
  }
}

/** RFC 3339 with zone, or a time from now: `12h`, `90d`, `52w`. */
function expiryOf(given: string | undefined, now: number): string | undefined {
  if (given === undefined) return undefined;
  const [, amount, unit = ""] = /^(\d+)([hdw])$/.exec(given) ?? [];
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(given);
  const at = amount !== undefined ? now + Number(amount) * (UNIT_MS[unit] ?? 0) : isTime ? Date.parse(given) : Number.NaN;
  if (!(at > now && at < Date.UTC(2101, 0)))
    throw new UsageError(`--expires must be a time to come, in RFC 3339 (2027-01-01T00:00:00Z) or from now (12h, 90d, 52w)`);
  return new Date(at).toISOString();
}

const create = defineCommand({
  usage: "create <name>",
  describe: "Make a token for the admin API: shown once, only its hash is kept",
  options: {
    scopes: { ...texts("What it may do, a,b: read, payload, dispatch, operate, purge"), demandOption: true },
    queues: texts("Which queues exist for it, a,b: names or prefix.* (all)"),
    from: texts("Networks it may be used from, 10.1.0.0/16,fd00::/8 (any)"),
    expires: text("When it stops working: 90d, 12h, 52w or RFC 3339 (never)"),
  },
  positionals: (yargs) => yargs.positional("name", { type: "string", demandOption: true, describe: "Who will use it; it is in the log" }),
  examples: [
    ["symphony token create grafana --scopes read --expires 90d", "may look, for three months"],
    ["symphony token create mailers --scopes read,operate --queues mails,mails.*", "may see and steer the queues of one team"],
    ["symphony token create ci --scopes read,dispatch --json", "for scripts"],
  ],
  async run(io, flags) {
    const { createToken, SCOPES } = await import("@symphony/admin-api");
    const name = flags.name as string;
    if (!NAME_PATTERN.test(name)) throw new UsageError(`the name must match ${NAME_PATTERN.source}`);
    const scopes = scopesOf(flags.scopes, SCOPES);
    if (scopes.length === 0) throw new UsageError("--scopes must name at least one scope");
    const expiresAt = expiryOf(flags.expires, io.clock.now());
    const [queues, from] = [listOf(flags.queues), listOf(flags.from)];
    const limits = { ...(queues === undefined ? {} : { queues }), ...(from === undefined ? {} : { from }) };
    const { token, entry } = asUsage(() => createToken({ name, scopes, ...(expiresAt === undefined ? {} : { expiresAt }), ...limits }));
    print(io, flags.json === true, { token, entry }, () =>
      [
        `Token, shown this once:\n\n  ${token}\n`,
        `Add to "tokens" in the file that SYMPHONY_AUTH_TOKENS_FILE names; a running server reads it within a second:\n`,
        JSON.stringify(entry, null, 2),
      ].join("\n"),
    );
  },
});

export const token = defineGroup({ usage: "token", describe: "Tokens for the admin API", commands: [create] });
