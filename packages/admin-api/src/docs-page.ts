import { createHash } from "node:crypto";
import type { AnyEndpoint } from "./routes/endpoint.ts";
import { ROUTES, type RouteEntry, type RouteName } from "./routes/table.ts";

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8885; vertical-align: top; }
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

/** A page for people: what there is, what it needs, where the full document is. */
export function docsPage(endpoints: Readonly<Record<RouteName, AnyEndpoint>>): string {
  const rows = (Object.entries(ROUTES) as [RouteName, RouteEntry][]).map(
    ([name, { method, path, access }]) =>
      `<tr><td><code>${method} ${escapeHtml(path)}</code></td><td>${escapeHtml(endpoints[name].summary)}</td><td><code>${escapeHtml(access)}</code></td></tr>`,
  );
  return page(
    "Symphony Messenger: admin API",
    `<h1>Admin API</h1>
<p>Every request needs <code>Authorization: Bearer TOKEN</code>, and the token the scope of the route. Requests and answers are JSON;
refusals are <code>application/problem+json</code> with a stable <code>code</code>. All fields are in <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
<table>
<thead><tr><th>Route</th><th>What it does</th><th>Scope</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>`,
  );
}

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
