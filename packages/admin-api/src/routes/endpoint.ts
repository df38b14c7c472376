import { z } from "zod";
import type { Action } from "../audit/action.ts";
import type { Principal } from "../auth/tokens.ts";
import type { BodyLimits } from "../http/body.ts";

/** Who asks, and what else a handler may need of the request. */
export interface Caller {
  readonly principal: Principal | undefined;
  readonly requestId: string;
  /** The header `Idempotency-Key`. */
  readonly idempotencyKey: string | undefined;
  /** Carries out what changes something. Only for endpoints that declare an `action`. */
  readonly action: Action;
  /** Does this when what the request changed is committed. */
  readonly afterwards: (work: () => void) => void;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** Default: JSON. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What one route takes and gives. Requests are checked with the same schemas that the OpenAPI document is made from. */
export interface Endpoint<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, H extends z.ZodType> {
  readonly summary: string;
  readonly params: P;
  readonly query: Q;
  /** `z.undefined()`: it takes no body. */
  readonly body: B;
  /** Of a header by its name; others are not looked at. */
  readonly headers: H;
  readonly bodyLimits?: BodyLimits;
  /** Schema of the answer by status. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Statuses of problems beside those that every route may answer. */
  readonly problems: readonly number[];
  /** Makes its own use of the header `Idempotency-Key`, which for every other POST means: once, and the same answer for a day. */
  readonly ownIdempotency?: true;
  /** Changes something: does it by `caller.action.carryOut`, so that caller, target and outcome are remembered. */
  readonly action?: string;
  /** Runs for long: a few at a time, beside all others. */
  readonly isHeavy?: true;
  readonly handle: (
    input: { readonly params: z.output<P>; readonly query: z.output<Q>; readonly body: z.output<B>; readonly headers: z.output<H> },
    caller: Caller,
  ) => Promise<Answer> | Answer;
}

// biome-ignore lint/suspicious/noExplicitAny: the top type of all endpoints; their handlers are contravariant in the schemas
export type AnyEndpoint = Endpoint<any, any, any, any>;

const NOTHING = z.strictObject({});
const NO_BODY = z.undefined();

type Given<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, H extends z.ZodType> = Omit<
  Endpoint<P, Q, B, H>,
  "params" | "query" | "body" | "headers" | "problems"
> & {
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly headers?: H;
  readonly problems?: readonly number[];
};

/** Declares an endpoint; what is left out takes nothing. */
export function endpoint<
  P extends z.ZodType = typeof NOTHING,
  Q extends z.ZodType = typeof NOTHING,
  B extends z.ZodType = typeof NO_BODY,
  H extends z.ZodType = typeof NOTHING,
>(given: Given<P, Q, B, H>): AnyEndpoint {
  return { params: NOTHING, query: NOTHING, body: NO_BODY, headers: NOTHING, problems: [], ...given } as AnyEndpoint;
}
