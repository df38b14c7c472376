import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { CHART } from "./tools.ts";

export interface ValueDoc {
  readonly path: string;
  readonly default: string;
  /** Undefined: it has no `# --` line. */
  readonly text: string | undefined;
}

/** The documented values in their order: a key with a `# --` line above it is one, whatever is below it. */
export function readValues(yaml: string): readonly ValueDoc[] {
  const values = parseDocument(yaml).toJS() as unknown;
  const found: ValueDoc[] = [];
  const path: { readonly indent: number; readonly key: string }[] = [];
  let comment: string | undefined;
  let documented: string | undefined;
  for (const line of yaml.split("\n")) {
    const text = /^\s*# -- (.*)$/.exec(line)?.[1];
    if (text !== undefined) comment = text;
    const [, spaces, key] = /^(\s*)([A-Za-z]+):/.exec(line) ?? [];
    if (spaces === undefined || key === undefined) continue;
    while (path.length > 0 && (path.at(-1)?.indent ?? 0) >= spaces.length) path.pop();
    path.push({ indent: spaces.length, key });
    const name = path.map((part) => part.key).join(".");
    if (documented !== undefined && name.startsWith(`${documented}.`)) continue;
    documented = comment === undefined ? undefined : name;
    const value = path.reduce((at, part) => (at as Record<string, unknown>)[part.key], values);
    const isBranch = typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
    if (comment !== undefined || !isBranch) found.push({ path: name, default: JSON.stringify(value), text: comment });
    comment = undefined;
  }
  return found;
}

/** README.md of the chart. */
export function renderReadme(): string {
  const rows = readValues(readFileSync(join(CHART, "values.yaml"), "utf8"));
  const inCell = (text: string): string => text.replaceAll("|", "\\|");
  const table = rows.map(({ path, default: value, text = "" }) => `| \`${path}\` | \`${inCell(value)}\` | ${inCell(text)} |`);
  return `${HEAD}${table.join("\n")}\n`;
}

const HEAD = `# symphony-messenger

Worker pools, the admin API, migrations and scaling of Symphony Messenger on Kubernetes 1.30 and newer, with Helm 3 or 4.
The way from nothing to a scaled fleet is in docs/kubernetes.md of the repository.

\`\`\`sh
kubectl create secret generic messenger-database --from-literal=url=postgresql://USER:PASSWORD@HOST:5432/DATABASE
helm install messenger helm/symphony-messenger --set database.existingSecret=messenger-database --set image.repository=REGISTRY/TEAM/APP
\`\`\`

- Secrets are only ever named, never given. What is missing is an error that says what to make.
- Every pod fulfils Pod Security \`restricted\` and has a read-only root. None has a token of the API server but the autoscaler
  and, with \`events.enabled\`, workers.
- \`kubectl scale deployment/NAME-symphony-messenger-worker-POOL --replicas=N\` just works, and loses nothing.
- \`values.schema.json\` refuses what is misspelt; the templates refuse grace periods that are too short, and fleets that
  the database could not carry.
- The database is left alone by \`helm uninstall\`.

## Values

| Key | Default | What it is |
|---|---|---|
`;
