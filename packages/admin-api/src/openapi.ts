import { z } from "zod";
import { exampleOf } from "./example.ts";
import { PROBLEMS, type ProblemCode, problemType } from "./http/problem.ts";
import type { JsonSchema } from "./json-schema.ts";
import type { AnyEndpoint } from "./routes/endpoint.ts";
import { ROUTES, type RouteEntry, type RouteName } from "./routes/table.ts";

type Json = Readonly<Record<string, unknown>>;

/** Statuses that every route may answer with. */
const ALWAYS = [400, 401, 403, 429, 500, 503];

const MEANING: Readonly<Record<number, string>> = {
  200: "Done",
  201: "Created",
  202: "Accepted: it goes on by itself",
  400: "Not valid: every issue is listed with its path",
  401: "No valid token",
  403: "The token lacks the scope",
  404: "No such thing",
  409: "In conflict with what is there",
  413: "The body is too large",
  415: "The body is not JSON in UTF-8",
  422: "Well-formed, but cannot be carried out here",
  429: "Too many requests; Retry-After says when",
  500: "Internal error",
  503: "The database cannot be reached, or the server is overloaded; Retry-After says when",
};

const PROBLEM = z.object({
  type: z.string().meta({ description: "urn:symphony:problem: and the code in lower case." }),
  title: z.string(),
  status: z.int(),
  code: z.enum(PROBLEMS.map(({ code }) => code) as [ProblemCode]).meta({ description: "Stable; what programs look at." }),
  detail: z.string().optional(),
  requestId: z.string(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});

/** The OpenAPI 3.1 document of all routes, from the schemas that check requests and, in the tests, answers. */
export function toOpenApi(endpoints: Readonly<Record<RouteName, AnyEndpoint>>, publicDocs: boolean): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [name, entry] of Object.entries(ROUTES) as [RouteName, RouteEntry][]) {
    const path = entry.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [entry.method.toLowerCase()]: operation(name, entry, endpoints[name], publicDocs) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Symphony Messenger administration", version: "1", license: { name: "MIT", identifier: "MIT" } },
    jsonSchemaDialect: "https://json-schema.org/draft/2020-12/schema",
    servers: [{ url: "/" }],
    paths,
    "x-problems": PROBLEMS.map(({ code, status, means }) => ({ type: problemType(code), code, status, description: means })),
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "An API token with the scope that the operation names." },
        cronSecret: { type: "http", scheme: "bearer", description: "CRON_SECRET, for the cron endpoint only." },
      },
      schemas: { Problem: toJsonSchema(PROBLEM, "output") },
      headers: { RetryAfter: { description: "Seconds.", schema: { type: "integer", minimum: 1 } } },
    },
  };
}

const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "The request is carried out once; the same key with the same request gets the same answer for a day.",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

function operation(name: RouteName, entry: RouteEntry, endpoint: AnyEndpoint, publicDocs: boolean): Json {
  const parameters = [
    ...parametersOf(endpoint.params, "path"),
    ...parametersOf(endpoint.query, "query"),
    ...parametersOf(endpoint.headers, "header"),
    ...(entry.method === "POST" ? [IDEMPOTENCY_KEY] : []),
  ];
  const body = endpoint.body instanceof z.ZodUndefined ? undefined : endpoint.body;
  const required = body !== undefined && !body.safeParse(undefined).success;
  return {
    operationId: name,
    summary: endpoint.summary,
    "x-scope": entry.access,
    security: entry.isDocs === true && publicDocs ? [] : [entry.access === "cron secret" ? { cronSecret: [] } : { token: [entry.access] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required, content: { "application/json": withExample(toJsonSchema(body, "input"), name) } } }),
    responses: { ...answersOf(endpoint), ...problemsOf(endpoint, entry, body !== undefined) },
  };
}

function answersOf(endpoint: AnyEndpoint): Json {
  return Object.fromEntries(
    Object.entries(endpoint.answers).map(([status, schema]) => {
      const type = (schema.meta()?.mediaType as string | undefined) ?? "application/json";
      const json = toJsonSchema(schema, "output");
      const content = type === "application/json" && json.additionalProperties !== true ? withExample(json) : { schema: json };
      return [status, { description: MEANING[Number(status)], content: { [type]: content } }];
    }),
  );
}

/** Bodies whose every field may be left out, and what one would send in them all the same. */
const BODIES: Partial<Record<RouteName, Json>> = {
  purgeQueue: { confirm: "images", expectedCount: 1204 },
  retryManyFailed: { filter: { fingerprint: "f656fe356c36e196" }, rate: 20, canary: 5 },
  removeManyFailed: { filter: { type: "image.resize", until: "2026-11-01T00:00:00Z" }, rate: 100 },
  consume: { timeLimit: 20_000, messageLimit: 100 },
  pauseQueue: { type: "image.resize" },
  resumeQueue: { type: "image.resize" },
};

const withExample = (schema: Json, request?: RouteName): Json => ({
  schema,
  example: (request === undefined ? undefined : BODIES[request]) ?? exampleOf(schema as JsonSchema, "", request !== undefined),
});

function problemsOf(endpoint: AnyEndpoint, { method }: RouteEntry, hasBody: boolean): Json {
  const ofKeys = method === "POST" ? [409, 422] : [];
  const statuses = [...new Set([...ALWAYS, ...endpoint.problems, ...ofKeys, ...(hasBody ? [413, 415] : [])])];
  const content = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } };
  const headers = { "Retry-After": { $ref: "#/components/headers/RetryAfter" } };
  return Object.fromEntries(
    statuses.map((status) => [status, { description: MEANING[status], ...(status === 429 || status === 503 ? { headers } : {}), content }]),
  );
}

function parametersOf(schema: z.ZodType, place: "path" | "query" | "header"): readonly Json[] {
  const { properties = {}, required = [] } = toJsonSchema(schema, "input") as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }));
}

function toJsonSchema(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    override({ jsonSchema }) {
      const json = jsonSchema as Record<string, unknown>;
      // A number in a query arrives as text; what a caller has to know is the number.
      const { asParameter } = json as { asParameter?: Json };
      if (asParameter !== undefined) {
        for (const key of Object.keys(json)) delete json[key];
        Object.assign(json, asParameter);
      }
      delete json.mediaType;
    },
  });
  return rest;
}
