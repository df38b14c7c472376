/** Fields whose values are never written, in any case and with any separators. */
const SECRETS: ReadonlySet<string> = new Set([
  ...["password", "passwd", "secret", "token", "accesstoken", "refreshtoken", "clientsecret", "apikey"],
  ...["authorization", "cookie", "setcookie", "connectionstring", "dsn", "databaseurl"],
]);
const HIDDEN = "[hidden]";

type Fields = Record<string, unknown>;

/**
 * The same fields with the values of those that are called like secrets hidden, here and one level below. Getters are not
 * called, and nothing is copied when there is nothing to hide.
 */
export function hideSecrets(fields: Fields): Fields {
  let shown = fields;
  for (const name of Object.keys(fields)) {
    const hidden = isSecret(name) ? HIDDEN : below(Object.getOwnPropertyDescriptor(fields, name)?.value);
    if (hidden === undefined) continue;
    if (shown === fields) shown = Object.create(Object.getPrototypeOf(fields), Object.getOwnPropertyDescriptors(fields)) as Fields;
    Object.defineProperty(shown, name, { value: hidden, enumerable: true });
  }
  return shown;
}

const isSecret = (name: string): boolean => SECRETS.has(name.toLowerCase().replaceAll(/[-_]/g, ""));

function below(value: unknown): Fields | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Error) return undefined;
  const names = Object.keys(value).filter(isSecret);
  if (names.length === 0) return undefined;
  const copy = Object.create(null, Object.getOwnPropertyDescriptors(value)) as Fields;
  for (const name of names) Object.defineProperty(copy, name, { value: HIDDEN, enumerable: true });
  return copy;
}
