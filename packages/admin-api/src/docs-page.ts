import { createHash } from "node:crypto";
import { escapeHtml, operationHtml, type Problem, type ShownOperation, table } from "./docs-operation.ts";

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8885; vertical-align: top; }
h2 { margin-top: 3rem; font-size: 1.15rem; }
h3 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
pre { overflow-x: auto; padding: .75rem; background: #8882; border-radius: .25rem; font: .85em/1.4 ui-monospace, monospace; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
`;

/** Nothing but this very style sheet may act: no script, no image, no connection. */
export const DOCS_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${STYLE}</style></head>
<body>
${body}
</body>
</html>
`;

/** What a browser finds at the address of the API. */
export const homePage = (): string =>
  page(
    "Symphony Messenger",
    `<h1>Symphony Messenger</h1>
<p>This is the admin API. There is no dashboard in this version.</p>
<p>Its routes are listed at <a href="/docs">/docs</a> and described in <a href="/openapi.json">/openapi.json</a>; unless the documents were
made public, both want <code>Authorization: Bearer TOKEN</code> like all the rest:</p>
<p><code>curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/api/symphony/status</code></p>`,
  );

/** The document of this API, as far as the page shows it. */
export interface ShownDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, ShownOperation>>>>;
  readonly "x-problems": readonly Problem[];
}

/** The whole document for people: every route with what it takes, gives and refuses. Made of nothing but the document. */
export function docsPage(document: ShownDocument): string {
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const contents = all.map(
    ({ method, path, operation }) =>
      `<tr><td><a href="#${escapeHtml(operation.operationId)}"><code>${method} ${escapeHtml(path)}</code></a></td><td>${escapeHtml(operation.summary)}</td><td><code>${escapeHtml(operation["x-scope"])}</code></td></tr>`,
  );
  const problems = document["x-problems"].map(
    ({ status, code, description }) =>
      `<tr id="${escapeHtml(code)}"><td>${status}</td><td><code>${escapeHtml(code)}</code></td><td>${escapeHtml(description)}</td></tr>`,
  );
  return page(
    "Symphony Messenger: admin API",
    `<h1>Admin API</h1>
<p>Every request needs <code>Authorization: Bearer TOKEN</code>, and the token the scope of the route. Requests and answers are JSON;
<code>SYMPHONY_URL</code> is the address of this server. Refusals are <code>application/problem+json</code> with a stable <code>code</code>. For programs the same is in
<a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
${table(["Route", "What it does", "Scope"], contents)}
${all.map((each) => operationHtml(each, document["x-problems"])).join("\n")}
<h2 id="problems">Problems</h2>
<p>Any request may meet those with the status 400, 401, 403, 429, 500 and 503; the others stand with their routes.</p>
${table(["Status", "Code", "Means"], problems)}`,
  );
}
