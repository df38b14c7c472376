import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WEBHOOK_SECRET } from "./settings.ts";
import { sign } from "./signature.ts";

/** One HTTP request as GitHub sends it. */
export interface Delivery {
  /** `api.github.com/issues/3`: stable from run to run, which the random id of a delivery is not. */
  readonly key: string;
  readonly event: string;
  readonly body: string;
}

interface Definition {
  readonly name: string;
  readonly examples: readonly unknown[];
}

/** Every payload of the package: those of github.com and of each version of GitHub Enterprise Server. */
export function loadDeliveries(): Delivery[] {
  // The package's entry point is the file of one source; the others lie beside its directory.
  const root = dirname(dirname(fileURLToPath(import.meta.resolve("@octokit/webhooks-examples"))));
  return readdirSync(root, { withFileTypes: true })
    .filter((found) => found.isDirectory())
    .map((found) => found.name)
    .sort()
    .flatMap((source) => loadSource(source, join(root, source, "index.json")));
}

function loadSource(source: string, file: string): Delivery[] {
  const definitions = JSON.parse(readFileSync(file, "utf8")) as Definition[];
  return definitions.flatMap(({ name, examples }) =>
    examples.map((example, i) => ({ key: `${source}/${name}/${i}`, event: name, body: JSON.stringify(example) })),
  );
}

/** A few of `deliveries` again, as somebody would send them who does not know the secret. */
export function forge(deliveries: readonly Delivery[], count: number): Delivery[] {
  const step = Math.max(1, Math.floor(deliveries.length / count));
  return deliveries
    .filter((_, i) => i % step === 0)
    .slice(0, count)
    .map((delivery) => ({ ...delivery, key: `forged/${delivery.key}` }));
}

/** The headers of a delivery in this run. The id is a UUID made from run and key: sent twice, it is the same delivery. */
export function headersOf(delivery: Delivery, runId: string, secret = WEBHOOK_SECRET): Record<string, string> {
  return {
    "content-type": "application/json",
    "user-agent": "GitHub-Hookshot/example",
    "x-github-event": delivery.event,
    "x-github-delivery": uuidOf(`${runId}\n${delivery.key}`),
    "x-hub-signature-256": sign(delivery.body, secret),
  };
}

function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
