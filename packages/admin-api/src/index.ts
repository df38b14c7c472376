export type { AuthOptions } from "./auth/credentials.ts";
export type { JwtClaims, JwtOptions } from "./auth/jwt-options.ts";
export { SCOPES, type Scope } from "./auth/scopes.ts";
export { createToken, type TokenListEntry } from "./auth/token-list.ts";
export type { FailedMessage } from "./failed-message.ts";
export { type AdminServerOptions, type AuthConfig, assertCredentials, type LimitOptions, parseAuthConfig } from "./options.ts";
export { type AdminServer, createAdminServer } from "./server.ts";
