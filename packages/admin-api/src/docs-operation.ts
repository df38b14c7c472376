import { type Field, fieldsOf, inWords, type JsonSchema } from "./json-schema.ts";

export interface ShownOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly "x-scope": string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

type Content = Readonly<Record<string, { readonly schema: JsonSchema; readonly example?: unknown }>>;

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly description: string;
}

interface Placed {
  readonly method: string;
  readonly path: string;
  readonly operation: ShownOperation;
}

export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export const table = (titles: readonly string[], rows: readonly string[]): string =>
  `<table>\n<thead><tr>${titles.map((title) => `<th>${title}</th>`).join("")}</tr></thead>\n<tbody>\n${rows.join("\n")}\n</tbody>\n</table>`;

const row = (...cells: readonly string[]): string => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
const code = (text: string): string => `<code>${escapeHtml(text)}</code>`;
const pre = (text: string): string => `<pre>${escapeHtml(text)}</pre>`;
const pretty = (value: unknown): string => JSON.stringify(value, null, 2);

/** One route: parameters, body, an example to type, answers, problems of its own. */
export function operationHtml({ method, path, operation }: Placed, problems: readonly Problem[]): string {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  return [
    `<section id="${escapeHtml(operationId)}">`,
    `<h2><code>${method} ${escapeHtml(path)}</code></h2>`,
    `<p>${escapeHtml(summary)}. Scope: ${code(operation["x-scope"])}.</p>`,
    ...(parameters.length === 0 ? [] : ["<h3>Parameters</h3>", parametersHtml(parameters)]),
    ...(requestBody === undefined ? [] : bodyHtml(requestBody)),
    "<h3>Example</h3>",
    pre(curl({ method, path, operation })),
    ...Object.entries(responses).flatMap(([status, response]) => answerHtml(status, response)),
    ...ownProblems(responses, problems),
    "</section>",
  ].join("\n");
}

const parametersHtml = (parameters: readonly Parameter[]): string =>
  table(
    ["Name", "In", "What", ""],
    parameters.map((each) =>
      row(
        code(each.name),
        each.in,
        `${escapeHtml(inWords(each.schema))}${each.required ? "; needed" : ""}`,
        escapeHtml(each.description ?? ""),
      ),
    ),
  );

function bodyHtml({ required, content }: NonNullable<ShownOperation["requestBody"]>): readonly string[] {
  const schema = content["application/json"]?.schema ?? {};
  return [`<h3>Body${required ? "" : " (may be left out)"}</h3>`, fieldsHtml(fieldsOf(schema), true)];
}

/** @param isRequest - Says which are needed; in an answer, which may be missing. */
const fieldsHtml = (fields: readonly Field[], isRequest: boolean): string =>
  table(
    ["Field", "What", ""],
    fields.map(({ path, schema, required }) =>
      row(
        code(path),
        `${escapeHtml(inWords(schema))}${isRequest && required ? "; needed" : !isRequest && !required ? "; not always there" : ""}`,
        escapeHtml(schema.description ?? ""),
      ),
    ),
  );

function answerHtml(status: string, { description, content = {} }: ShownOperation["responses"][string]): readonly string[] {
  const [type = "", shown] = Object.entries(content)[0] ?? [];
  if (type === "application/problem+json") return [];
  const title = `<h3>Answer ${escapeHtml(status)}: ${escapeHtml(description)}</h3>`;
  if (shown?.example === undefined) return [title, `<p>${code(type)}</p>`];
  return [title, pre(pretty(shown.example)), fieldsHtml(fieldsOf(shown.schema), false)];
}

/** Met by every route alike: they stand at the end of the page once. */
const COMMON = new Set([400, 401, 403, 429, 500, 503]);

function ownProblems(responses: ShownOperation["responses"], problems: readonly Problem[]): readonly string[] {
  const own = problems.filter(({ status }) => !COMMON.has(status) && Object.hasOwn(responses, String(status)));
  const links = own.map(({ status, code: name }) => `${status} <a href="#${escapeHtml(name)}">${code(name)}</a>`);
  const common = '<a href="#problems">those of every route</a>';
  return [`<p>Problems: ${[...links, common].join(", ")}.</p>`];
}

const EXAMPLE_ID = "01a21261-b019-7001-ab5c-c9f9ed953b21";

function curl({ method, path, operation }: Placed): string {
  const secret = operation["x-scope"] === "cron secret" ? "CRON_SECRET" : "TOKEN";
  const isSchedule = path.includes("/schedules/");
  const filled = path.replaceAll("{id}", EXAMPLE_ID).replaceAll("{name}", isSchedule ? "nightly-report" : "images");
  const example = operation.requestBody?.content["application/json"]?.example;
  const body = example === undefined ? "" : ` \\\n  -H 'Content-Type: application/json' -d '${JSON.stringify(example)}'`;
  const verb = method === "GET" ? "" : ` -X ${method}`;
  return `curl${verb} -H "Authorization: Bearer $${secret}" "$SYMPHONY_URL${filled}"${body}`;
}
