import assert from "node:assert/strict";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { AdminBed, Answer } from "./admin-bed.ts";

export type Schema = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly method: string;
  /** With `{name}` for what varies. */
  readonly path: string;
  readonly id: string;
  readonly scope: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: "path" | "query" | "header";
    readonly required: boolean;
    readonly schema: Schema;
  }[];
  readonly body: { readonly required: boolean; readonly schema: Schema } | undefined;
  readonly responses: Readonly<Record<string, Response>>;
}

interface Response {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly headers?: Readonly<Record<string, unknown>>;
}

/** The OpenAPI document of a running server, and whether its answers keep to it. */
export class Document {
  readonly operations: readonly Operation[];
  // biome-ignore lint/suspicious/noExplicitAny: a document as any client finds it
  readonly raw: any;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();

  // biome-ignore lint/suspicious/noExplicitAny: see above
  private constructor(raw: any) {
    this.raw = raw;
    formats.default(this.#ajv);
    this.#ajv.addSchema(raw, "doc");
    this.operations = Object.entries(raw.paths).flatMap(([path, item]) =>
      // biome-ignore lint/suspicious/noExplicitAny: see above
      Object.entries(item as Record<string, any>).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        id: operation.operationId,
        scope: operation["x-scope"],
        parameters: operation.parameters ?? [],
        body:
          operation.requestBody === undefined
            ? undefined
            : { required: operation.requestBody.required, schema: operation.requestBody.content["application/json"].schema },
        responses: operation.responses,
      })),
    );
  }

  static async of(bed: AdminBed): Promise<Document> {
    const { status, body } = await bed.ask("GET", "/openapi.json");
    assert.equal(status, 200);
    return new Document(body);
  }

  /** Asserts that the document promises this very answer. */
  check({ method, path, id, responses }: Operation, answer: Answer): void {
    const what = `${method} ${path} answers ${answer.status}: ${answer.text.slice(0, 500)}`;
    const declared = responses[String(answer.status)];
    assert.ok(declared !== undefined, `${what} (a status that the document does not know)`);
    const [type = ""] = (answer.headers.get("content-type") ?? "").split(";");
    assert.ok(declared.content?.[type] !== undefined, `${what} (of an undeclared type ${type})`);
    for (const name of Object.keys(declared.headers ?? {})) assert.ok(answer.headers.get(name) !== null, `${what} (without ${name})`);
    const pointer = ["paths", path, method.toLowerCase(), "responses", String(answer.status), "content", type, "schema"];
    const validate = this.#validator(`${id} ${answer.status} ${type}`, pointer);
    const value = type.endsWith("json") ? answer.body : answer.text;
    assert.ok(validate(value), `${what}\n${JSON.stringify(validate.errors?.slice(0, 5))}`);
  }

  /** Asserts that a value fits the schema at this place of the document. */
  checkValue(pointer: readonly string[], value: unknown): void {
    const key = pointer.join(" ");
    const validate = this.#validator(key, pointer);
    assert.ok(validate(value), `${key}: ${JSON.stringify(value)}\n${JSON.stringify(validate.errors?.slice(0, 5))}`);
  }

  /** Asserts that it is a problem as the document describes them all. */
  checkProblem({ body }: Answer): void {
    const validate = this.#validator("problem", ["components", "schemas", "Problem"]);
    assert.ok(validate(body), JSON.stringify(validate.errors));
  }

  #validator(key: string, pointer: readonly string[]): ValidateFunction {
    let found = this.#validators.get(key);
    if (found === undefined) {
      const fragment = pointer.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
      found = this.#ajv.compile({ $ref: `doc#/${fragment}` });
      this.#validators.set(key, found);
    }
    return found;
  }
}
