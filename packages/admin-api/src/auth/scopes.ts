/** What a token may be allowed; every route asks for exactly one of them. */
export const SCOPES = ["symphony:read", "symphony:payload", "symphony:dispatch", "symphony:operate", "symphony:purge"] as const;

export type Scope = (typeof SCOPES)[number];
