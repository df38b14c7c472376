import { MessengerError, type Redrive, type RedriveCommand, type RedriveRequest, type RedriveStore } from "@symphony/core";
import type { AdminClient } from "./admin-client.ts";
import { notHere } from "./not-here.ts";

const PATH = "/api/symphony/redrives";

interface Answer {
  readonly redrive: Redrive & { readonly transport: string };
}
interface Page {
  readonly redrives: readonly Answer["redrive"][];
  readonly pagination: { readonly nextCursor: string | null };
}

/** Redrives of one transport of an admin API, which carries them out itself, or leaves that to a fleet: nobody else is given one. */
export class RemoteRedrives implements RedriveStore {
  readonly #client: AdminClient;
  readonly #transport: string;

  constructor(client: AdminClient, transport: string) {
    this.#client = client;
    this.#transport = transport;
  }

  /** The other end says who asked for it. */
  async create({ action, filter, requestedBy: _, ...options }: RedriveRequest): Promise<Redrive> {
    const all = action === "remove" && Object.keys(filter).length === 0 ? { all: true } : {};
    const body = { transport: this.#transport, filter, ...options, ...all };
    return here(await this.#client.post<Answer>(`/api/symphony/failed/${action}`, body));
  }

  async get(id: string): Promise<Redrive | undefined> {
    return this.#known(() => this.#client.get<Answer>(pathOf(id), { transport: this.#transport }));
  }

  async list(page: { limit: number; cursor?: string }): ReturnType<RedriveStore["list"]> {
    const { redrives, pagination } = await this.#client.get<Page>(PATH, { ...page, transport: this.#transport });
    return { redrives: redrives.map((redrive) => here({ redrive })), nextCursor: pagination.nextCursor };
  }

  control(id: string, command: RedriveCommand): Promise<Redrive | undefined> {
    return this.#known(() => this.#client.post<Answer>(`${pathOf(id)}/${command}`, undefined, { transport: this.#transport }));
  }

  /** Somebody else always has it. */
  hold(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  readonly advance = notHere;
  readonly letGo = notHere;

  async #known(ask: () => Promise<Answer>): Promise<Redrive | undefined> {
    try {
      return here(await ask());
    } catch (error) {
      if (error instanceof MessengerError && error.code === "REDRIVE_NOT_FOUND") return undefined;
      throw error;
    }
  }
}

const pathOf = (id: string): string => `${PATH}/${encodeURIComponent(id)}`;

const here = ({ redrive: { transport: _, ...redrive } }: Answer): Redrive => redrive;
