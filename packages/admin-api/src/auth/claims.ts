import type { QueuePattern } from "@symphony/core";
import type { JwtClaims } from "./jwt-options.ts";
import { SCOPES, type Scope } from "./scopes.ts";

type Claims = Readonly<Record<string, unknown>>;

/** What a token allows: the scopes that it names itself, and those of its roles. Unknown ones allow nothing. */
export function scopesOf(claims: Claims, { roles, roleClaim, scopeClaim }: JwtClaims): ReadonlySet<Scope> {
  const named = namesIn(claims, scopeClaim);
  const ofRoles = namesIn(claims, roleClaim).flatMap((role) => (Object.hasOwn(roles, role) ? (roles[role] ?? []) : []));
  return new Set([...SCOPES.filter((scope) => named.includes(scope)), ...ofRoles]);
}

/**
 * The queues that a token is limited to: those of its roles that have any, together; undefined when none has. A role
 * without an entry does not lift the limit of another.
 */
export function queuesOf(claims: Claims, { roleQueues, roleClaim }: JwtClaims): readonly QueuePattern[] | undefined {
  const limited = namesIn(claims, roleClaim).filter((role) => Object.hasOwn(roleQueues, role));
  return limited.length === 0 ? undefined : [...new Set(limited.flatMap((role) => roleQueues[role] ?? []))];
}

function namesIn(claims: Claims, path: string): readonly string[] {
  const value = at(claims, path);
  if (typeof value === "string") return value.split(" ");
  // The standard claim is a text; a list in its place is somebody's guess.
  if (path === "scope" || !Array.isArray(value)) return [];
  return value.filter((each) => typeof each === "string");
}

/** A claim by its own name first: those of some issuers are URLs and full of dots. */
function at(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  return path.split(".").reduce<unknown>((value, key) => {
    return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Claims)[key] : undefined;
  }, claims);
}
