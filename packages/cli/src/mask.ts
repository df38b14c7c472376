const MASK = "***";
const SECRET_PARAMETER = /(password|passwd|secret|token|key|cert)/i;
/** Characters. A shorter password would blacken half of every message. */
const SHORTEST_REDACTED = 4;
/** As in `host=db password=x`. */
const LIBPQ_PASSWORD = /(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)/gi;

/** A DSN as it may be shown: without password, and without query parameters that hold secrets. */
export function maskDsn(dsn: string): string {
  const { scheme, credentials, rest } = split(dsn);
  if (scheme === undefined) return dsn.replace(LIBPQ_PASSWORD, `$1${MASK}`);
  const colon = credentials?.indexOf(":") ?? -1;
  const user = credentials === undefined ? "" : `${colon < 0 ? credentials : `${credentials.slice(0, colon)}:${MASK}`}@`;
  return maskParameters(scheme + user + rest);
}

/** Passwords in a DSN, as written and decoded, for `redact`. */
export function secretsOf(dsn: string): readonly string[] {
  const { scheme, credentials } = split(dsn);
  const colon = credentials?.indexOf(":") ?? -1;
  const parameters = dsn.includes("?") ? [...new URLSearchParams(dsn.slice(dsn.indexOf("?") + 1))] : [];
  const found = [
    scheme === undefined ? [...dsn.matchAll(LIBPQ_PASSWORD)].map((match) => (match[2] ?? "").replace(/^'|'$/g, "")) : [],
    colon < 0 ? [] : [credentials?.slice(colon + 1) ?? ""],
    parameters.filter(([name]) => SECRET_PARAMETER.test(name)).map(([, value]) => value),
  ].flat();
  return [...new Set(found.flatMap((secret) => [secret, decoded(secret)]))].filter((secret) => secret.length >= SHORTEST_REDACTED);
}

/** `text` without any of the secrets. */
export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((result, secret) => result.replaceAll(secret, MASK), text);
}

/**
 * Cuts a DSN at its last `@`, wherever that is: a password may hold `/`, `?`, `#` and `@`, and make the whole no valid
 * URL. Rather hide the host than show half a password.
 */
function split(dsn: string): { scheme?: string; credentials?: string; rest: string } {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(dsn)?.[0];
  if (scheme === undefined) return { rest: dsn };
  const at = dsn.lastIndexOf("@");
  return at < scheme.length
    ? { scheme, rest: dsn.slice(scheme.length) }
    : { scheme, credentials: dsn.slice(scheme.length, at), rest: dsn.slice(at + 1) };
}

function maskParameters(text: string): string {
  const query = text.indexOf("?");
  if (query < 0) return text;
  const pairs = text.slice(query + 1).split("&");
  const masked = pairs.map((pair) => {
    const name = pair.split("=", 1)[0] ?? "";
    return SECRET_PARAMETER.test(name) && pair.includes("=") ? `${name}=${MASK}` : pair;
  });
  return `${text.slice(0, query)}?${masked.join("&")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A bare % in a password: it is taken as it is written.
    return text;
  }
}
