import { gzipSync } from "node:zlib";
import { head } from "./raw.ts";

const LIST = "/api/symphony/failed";
const DISPATCH = "/api/symphony/dispatch";
const ID = "0190b2c4-8d00-7000-8000-000000000000";

/** What a row may use of the server it is sent to. */
export interface Target {
  readonly token: string;
  readonly cron: string;
}

/** Bytes that are sent as they are, and the only statuses that may come back; 0: closed without one. */
export interface Row {
  readonly name: string;
  readonly send: (target: Target) => string | Buffer;
  readonly expect: readonly number[];
  /** The server must not keep such a connection. */
  readonly closes?: true;
}

const auth = ({ token }: Target): string => `Authorization: Bearer ${token}`;
const json = (body: string): readonly string[] => ["Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
const row = (name: string, expect: readonly number[], send: Row["send"]): Row => ({ name, expect, send });

const get = (name: string, path: string, ...expect: number[]): Row => row(name, expect, (t) => head([auth(t)], path));
const post = (name: string, body: string, ...expect: number[]): Row =>
  row(name, expect, (t) => head([auth(t), ...json(body)], DISPATCH, "POST", body));
const withHeaders = (name: string, lines: readonly string[], ...expect: number[]): Row => row(name, expect, () => head(lines, LIST));
const closing = (each: Row): Row => ({ ...each, closes: true });

const ping = (payload: string): string => `{"message":{"type":"test.ping","payload":${payload}}}`;

const CREDENTIALS: readonly Row[] = [
  withHeaders("no credential", [], 401),
  withHeaders("an empty one", ["Authorization: Bearer"], 401),
  withHeaders("a space", ["Authorization: Bearer  "], 401),
  withHeaders("an unknown one", ["Authorization: bearer x"], 401),
  row("basic", [401], ({ token }) => head([`Authorization: Basic ${Buffer.from(`x:${token}`).toString("base64")}`], LIST)),
  row("two headers", [400], (t) => head([auth(t), auth(t)], LIST)),
  row("in a cookie", [401], ({ token }) => head([`Cookie: token=${token}`], LIST)),
  row("with a cookie", [400], (t) => head([auth(t), "Cookie: a=b"], LIST)),
  row("in the query beside the header", [400], (t) => head([auth(t)], `${LIST}?access_token=${t.token}`)),
  row("in the query alone", [400], ({ token }) => head([], `${LIST}?access_token=${token}`)),
  row("the cron secret elsewhere", [401], ({ cron }) => head([`Authorization: Bearer ${cron}`], LIST)),
  withHeaders("a JWT where none are accepted", ["Authorization: Bearer eyJhbGciOiJub25lIn0.e30."], 401),
  row("user and password in the target", [400], ({ token }) => head([], `http://x:${token}@localhost${LIST}`)),
];

const PATHS: readonly Row[] = [
  ["encoded dots and slashes", `${LIST}/..%2f..%2fdocs`],
  ["encoded dots", "/api/symphony/%2e%2e/status"],
  ["a semicolon", "/api/symphony/..;/status"],
  ["two slashes", "//api/symphony/status"],
  ["backslashes", "/api\\symphony\\status"],
  ["a dot", "/api/./symphony/status"],
  ["a trailing dot", "/api/symphony/status."],
  ["capitals", "/API/symphony/status"],
  ["a trailing slash", "/api/symphony/status/"],
  ["an encoded NUL", "/api/symphony/status%00"],
  ["a probe", "/livez"],
  ["a probe behind dots", "/livez/../api/symphony/status"],
  ["another version", "/api/v1/status"],
  ["a bad escape", "/api/symphony/failed/%zz"],
].map(([name = "", path = ""]) => get(`path: ${name}`, path, 400, 404));

const IDS: readonly Row[] = [
  "0",
  "-1",
  "null",
  "undefined",
  "[object%20Object]",
  "'%20or%201=1--",
  "%00",
  "%F0%9F%98%80",
  "..%2f",
  "x".repeat(4_000),
]
  .map((id) => get(`id: ${id.slice(0, 30)}`, `${LIST}/${id}`, 400, 404))
  .concat(get("id: in capitals", `${LIST}/${ID.toUpperCase()}`, 404));

const LIMITS: readonly Row[] = [
  "-1",
  "0",
  "201",
  "1e3",
  "0x10",
  "%205",
  "5.0",
  "NaN",
  "Infinity",
  "9007199254740993",
  "",
  "1;drop",
  "5&limit=6",
  "5&limit=5",
].map((limit) => get(`limit: ${limit}`, `${LIST}?limit=${limit}`, 400));

const QUERIES: readonly Row[] = [
  "offset=10001",
  "since=yesterday",
  "since=1999-01-01T00:00:00Z",
  "queue=__pgboss__x",
  "queue=..%2f..",
  "type=a/b",
  "a[__proto__][x]=1",
  "__proto__=1",
  "constructor=1",
  "fingerprint=%25",
  "cursor=x",
  "cursor=eyJ4IjoxfQ.AAAAAAAAAAAAAAAAAAAAAA",
  "x=%zz",
  "_method=DELETE",
  `queue=${"q".repeat(3_000)}`,
].map((query) => get(`query: ${query.slice(0, 40)}`, `${LIST}?${query}`, 400));

const SEARCHES: readonly Row[] = ["%25%25%25%25%25", "(a%2B)%2B$", "a".repeat(1_900), "'%3Bselect%20pg_sleep(9)--", "_____"].map((text) =>
  get(`search: ${text.slice(0, 30)}`, `${LIST}?search=${text}`, 200, 400),
);

const type = (name: string, header: string | undefined, ...expect: number[]): Row => {
  const body = ping("1");
  const lines = [...(header === undefined ? [] : [`Content-Type: ${header}`]), `Content-Length: ${body.length}`];
  return row(`content type: ${name}`, expect, (t) => head([auth(t), ...lines], DISPATCH, "POST", body));
};

const TYPES: readonly Row[] = [
  type("text", "text/plain", 415),
  type("none", undefined, 415),
  type("another charset", "application/json; charset=utf-16", 415),
  type("a form", "application/x-www-form-urlencoded", 415),
  type("nearly", "application/jsonx", 415),
  type("of a vendor", "application/vnd.symphony+json; charset=UTF-8", 201),
  row("gzip bomb", [413, 415], (t) => {
    const bomb = gzipSync(Buffer.alloc(20_000_000, 0x20));
    const lines = [auth(t), "Content-Type: application/json", "Content-Encoding: gzip", `Content-Length: ${bomb.length}`];
    return Buffer.concat([Buffer.from(head(lines, DISPATCH, "POST")), bomb]);
  }),
];

const BODIES: readonly Row[] = [
  post("body: cut off", "{", 400),
  post("body: a trailing comma", `${ping("1")},`, 400),
  post("body: two documents", ping("1") + ping("2"), 400),
  post("body: a byte order mark", `\uFEFF${ping("1")}`, 400),
  post("body: a hole", ping("[1,]"), 400),
  post("body: a key twice", ping('{"a":1,"a":2}'), 400),
  post("body: a lone surrogate", ping('"\\ud800"'), 400),
  post("body: NUL", ping('"\\u0000"'), 400),
  post("body: a number that is not one any more", ping("9007199254740993"), 400),
  post("body: infinity", ping("1e999"), 400),
  post("body: no payload", '{"message":{"type":"test.ping"}}', 400),
  post("body: a prototype in control", '{"message":{"type":"test.ping","payload":1},"__proto__":{"admin":true}}', 400),
  post("body: a constructor in control", '{"message":{"type":"test.ping","payload":1},"options":{"constructor":{"prototype":{}}}}', 400),
  post("body: a prototype as data", ping('{"__proto__":{"admin":true},"constructor":1}'), 201),
  post("body: a field nobody knows", '{"message":{"type":"test.ping","payload":1},"admin":true}', 400),
  post("body: nothing but brackets", "[".repeat(100_000), 400),
  post("body: too deep", ping("[".repeat(70) + "]".repeat(70)), 400),
  post("body: too many keys", ping(`{${Array.from({ length: 60_000 }, (_, i) => `"${i}":1`).join(",")}}`), 400),
  post("body: null", "null", 400),
  post("body: a number for a text", '{"message":{"type":1,"payload":1}}', 400),
  post("body: a text for a number", '{"message":{"type":"test.ping","payload":1},"options":{"priority":"5"}}', 400),
  post("body: an unknown queue", '{"message":{"type":"test.ping","payload":1},"options":{"queue":"nowhere"}}', 404),
  post("body: the queue of dead letters", '{"message":{"type":"test.ping","payload":1},"options":{"queue":"__pgboss__send-it"}}', 400),
  post("body: an unknown type", '{"message":{"type":"no.such","payload":1}}', 422),
  row("body: over 64 KiB", [413], (t) =>
    head([auth(t), "Content-Type: application/json", "Content-Length: 65537"], "/api/symphony/consume", "POST"),
  ),
  row("body: over 1 MiB", [413], (t) => head([auth(t), "Content-Type: application/json", "Content-Length: 1048577"], DISPATCH, "POST")),
  row("body: where none is due", [400], (t) => head([auth(t), ...json("{}")], `${LIST}/${ID}/retry`, "POST", "{}")),
];

const HTTP: readonly Row[] = [
  closing(row("length and chunks", [400], (t) => head([auth(t), "Content-Length: 5", "Transfer-Encoding: chunked"], DISPATCH, "POST"))),
  closing(row("an unknown coding", [400, 501], (t) => head([auth(t), "Transfer-Encoding: xchunked"], DISPATCH, "POST"))),
  row("HTTP/0.9", [0, 400], () => `GET ${LIST}\r\n\r\n`),
  row("bare line feeds", [0, 400, 401], (t) => `GET ${LIST} HTTP/1.1\nHost: localhost\n${auth(t)}\n\n`),
  row("100 headers", [200], (t) => head([auth(t), ...Array.from({ length: 98 }, (_, i) => `X-${i}: 1`)], LIST)),
  row("two hosts", [400], (t) => head([auth(t), "Host: other"], LIST)),
  row("no host", [400], (t) => `GET ${LIST} HTTP/1.1\r\n${auth(t)}\r\n\r\n`),
  row("a folded header", [200, 400], (t) => head([auth(t), "X: a\r\n b"], LIST)),
  row("an absolute target", [400], (t) => head([auth(t)], `http://evil.example${LIST}`)),
  closing(row("CONNECT", [405], (t) => head([auth(t)], "localhost:80", "CONNECT"))),
  row("TRACE", [405], (t) => head([auth(t)], LIST, "TRACE")),
  row("an unknown method", [400, 405], (t) => head([auth(t)], LIST, "BREW")),
  closing(row("h2c", [400, 426], (t) => head([auth(t), "Connection: Upgrade", "Upgrade: h2c"], LIST))),
  closing(row("websocket", [400, 426], (t) => head([auth(t), "Connection: Upgrade", "Upgrade: websocket"], LIST))),
  closing(row("a header of 9 KiB", [431], (t) => head([auth(t), `X: ${"x".repeat(9_000)}`], LIST))),
  closing(row("a target of 9 KiB", [414, 431], (t) => head([auth(t)], `/${"x".repeat(9_000)}`))),
  row("200 headers", [431], (t) => head([auth(t), ...Array.from({ length: 200 }, (_, i) => `X-${i}: 1`)], LIST)),
  row("a method in a header", [404], (t) => head([auth(t), "X-HTTP-Method-Override: DELETE"], `${LIST}/${ID}`)),
  row("POST where GET is", [405], (t) => head([auth(t), "Content-Length: 0"], "/api/symphony/status", "POST")),
];

const PURGES: readonly Row[] = [
  "{}",
  '{"confirm":"default"}',
  '{"confirm":"images","expectedCount":99}',
  '{"confirm":"IMAGES","expectedCount":0}',
].map((body) => row(`purge: ${body}`, [409], (t) => head([auth(t), ...json(body)], "/api/symphony/queues/images/purge", "POST", body)));

export const CORPUS: readonly Row[] = [
  ...CREDENTIALS,
  ...PATHS,
  ...IDS,
  ...LIMITS,
  ...QUERIES,
  ...SEARCHES,
  ...TYPES,
  ...BODIES,
  ...HTTP,
  ...PURGES,
];
