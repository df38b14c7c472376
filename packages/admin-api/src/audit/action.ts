import { type Actor, type AuditEntry, type AuditedResult, isAuditable, type Transport } from "@symphony/core";
import type { Principal } from "../auth/tokens.ts";
import type { Named } from "../transports.ts";

/** What an endpoint tells of its action. */
export interface About {
  /** The message or queue that is meant. */
  readonly target?: string;
  /** Filter and options; never a payload. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

export interface ActionInput {
  readonly name: string;
  readonly principal: Principal;
  readonly requestId: string;
  readonly address: string | undefined;
}

/** One action of one request, and how to do it so that it is remembered. */
export class Action {
  readonly #input: ActionInput;
  #about: About = {};
  #transport: Transport | undefined;
  #isDone = false;

  constructor(input: ActionInput) {
    this.#input = input;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Where it was tried; undefined: it never came so far. */
  get transport(): Transport | undefined {
    return this.#transport;
  }

  /**
   * Does `work`, in one commit with the record of it where the transport keeps records.
   *
   * @throws {MessengerError} `AUDIT_FAILED` nothing was done.
   */
  async carryOut<T>([, transport]: Named<Transport>, about: About, work: () => Promise<AuditedResult<T>>): Promise<T> {
    this.#transport = transport;
    this.#about = about;
    const value = isAuditable(transport) ? (await transport.audited(this.entry, work)).value : (await work()).value;
    this.#isDone = true;
    return value;
  }

  get entry(): AuditEntry {
    const { name, principal, requestId, address } = this.#input;
    return { actor: toActor(principal, address), action: name, requestId, ...this.#about };
  }
}

const toActor = ({ name, kind, tokenId }: Principal, address: string | undefined): Actor => ({
  name,
  kind,
  tokenId,
  ...(address === undefined ? {} : { address }),
});
