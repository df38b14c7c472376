import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from "jose";

export const AUDIENCE = "symphony-admin";

type Claims = Readonly<Record<string, unknown>>;

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

export async function signingKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
}

/** An issuer of tokens on this machine: keys that a test changes, and a record of who asked for them. */
export interface Issuer {
  readonly url: string;
  readonly jwksUrl: string;
  /** How often the keys were asked for. */
  readonly fetches: () => number;
  publish(...keys: SigningKey[]): Promise<void>;
  /** Answers this instead of keys; undefined: keys again. */
  misbehave(answer: ((response: ServerResponse, request: IncomingMessage) => void) | undefined): void;
  /** A token as it should be, unless something of it is told otherwise; `undefined` leaves a claim out. */
  sign(key: SigningKey, claims?: Claims, header?: Partial<JWTHeaderParameters>): Promise<string>;
}

export async function startIssuer(t: Pick<TestContext, "after">, ...keys: SigningKey[]): Promise<Issuer> {
  let document = "";
  let fetches = 0;
  let misbehaviour: ((response: ServerResponse, request: IncomingMessage) => void) | undefined;
  const server = createServer((request, response) => {
    fetches += 1;
    if (misbehaviour !== undefined) return misbehaviour(response, request);
    response.setHeader("content-type", "application/json");
    response.end(document);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth/v1`;
  const issuer: Issuer = {
    url,
    jwksUrl: `${url}/.well-known/jwks.json`,
    fetches: () => fetches,
    async publish(...published) {
      const set = published.map(async ({ kid, alg, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, alg, use: "sig" }));
      document = JSON.stringify({ keys: await Promise.all(set) });
    },
    misbehave(answer) {
      misbehaviour = answer;
    },
    sign: (key, claims, header) => sign(key, { ...claimsOf(url), ...claims }, header),
  };
  await issuer.publish(...keys);
  return issuer;
}

const claimsOf = (issuer: string): Claims => {
  const now = Math.floor(Date.now() / 1_000);
  return { iss: issuer, aud: AUDIENCE, sub: "6f1c8d4e-user", iat: now, exp: now + 600, scope: "symphony:read" };
};

function sign(key: SigningKey, claims: Claims, header: Partial<JWTHeaderParameters> = {}): Promise<string> {
  const { kid, alg, privateKey } = key;
  return new SignJWT(claims as JWTPayload).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}
