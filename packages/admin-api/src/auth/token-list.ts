import { BlockList, isIPv4 } from "node:net";
import { ConfigError, NAME_PATTERN, QUEUE_PATTERN } from "@symphony/core";
import { z } from "zod";
import { issuesOf } from "../http/issues.ts";
import { SCOPES, type Scope } from "./scopes.ts";
import { digestOf, newToken, type TokenEntry } from "./tokens.ts";

const entrySchema = z.strictObject({
  name: z.string().regex(NAME_PATTERN),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "must be the SHA-256 of the token, 64 hexadecimal digits in lower case"),
  scopes: z.array(z.enum(SCOPES)).min(1),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
  from: z
    .array(z.union([z.cidrv4(), z.cidrv6()], "must be a network, such as 10.1.0.0/16 or fd00::/8"))
    .min(1)
    .optional(),
  queues: z.array(z.string().regex(QUEUE_PATTERN, "must be the name of a queue, prefix.*, or *")).min(1).optional(),
});

const listSchema = z.strictObject({ tokens: z.array(entrySchema) });

/** One entry of the tokens file. */
export type TokenListEntry = z.output<typeof entrySchema>;

/**
 * Reads the text of a tokens file: `{ "tokens": [{ "name", "sha256", "scopes", "expiresAt"?, "from"?, "queues"? }] }`. Two entries may share
 * a name, so that an old and a new token overlap while one replaces the other.
 *
 * @throws {ConfigError} `CONFIG_INVALID` with every issue and its path; never with a value of the file.
 */
export function parseTokenList(text: string, file: string): readonly TokenEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The engine's own message quotes the text, which may be a token that somebody put there by mistake.
    throw new ConfigError(`${file} is not JSON`, { path: file });
  }
  const parsed = listSchema.safeParse(value);
  if (!parsed.success) {
    const issues = issuesOf(parsed.error.issues).map((issue) => `${issue.path}: ${issue.message}`);
    throw new ConfigError(`${file} is no list of tokens: ${issues.join("; ")}`, { path: file });
  }
  const digests = parsed.data.tokens.map((entry) => entry.sha256);
  if (new Set(digests).size < digests.length) throw new ConfigError(`${file} has the same sha256 twice`, { path: file });
  return parsed.data.tokens.map(toEntry);
}

function toEntry(entry: TokenListEntry): TokenEntry {
  return {
    name: entry.name,
    digest: Buffer.from(entry.sha256, "hex"),
    scopes: new Set(entry.scopes),
    ...(entry.expiresAt === undefined ? {} : { expiresAt: Date.parse(entry.expiresAt) }),
    ...(entry.from === undefined ? {} : { from: toBlockList(entry.from) }),
    ...(entry.queues === undefined ? {} : { queues: entry.queues }),
  };
}

function toBlockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits = ""] = network.split("/");
    list.addSubnet(address, Number(bits), isIPv4(address) ? "ipv4" : "ipv6");
  }
  return list;
}

/** A new token, to be shown once, and the entry for the tokens file that lets it in. */
export function createToken(o: {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt?: string;
  /** Networks, as 10.1.0.0/16. */
  readonly from?: readonly string[];
  readonly queues?: readonly string[];
}): {
  readonly token: string;
  readonly entry: TokenListEntry;
} {
  const token = newToken();
  const { from, queues, ...rest } = o;
  const sha256 = digestOf(token).toString("hex");
  const parsed = entrySchema.safeParse({
    ...rest,
    sha256,
    ...(from === undefined ? {} : { from }),
    ...(queues === undefined ? {} : { queues }),
  });
  if (!parsed.success)
    throw new ConfigError(
      issuesOf(parsed.error.issues)
        .map(({ path, message }) => `${path}: ${message}`)
        .join("; "),
    );
  return { token, entry: parsed.data };
}
