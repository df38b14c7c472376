import type { ScheduleView } from "@symphony/core";
import type { ScheduleDesk } from "../schedule-desk.ts";
import type { AdminClient } from "./admin-client.ts";

const PATH = "/api/symphony/schedules";

/** The schedules of an admin API: those that its configuration and its transports know. */
export class RemoteSchedules implements ScheduleDesk {
  readonly #client: AdminClient;

  constructor(client: AdminClient) {
    this.#client = client;
  }

  async list(nextRuns: number): Promise<readonly ScheduleView[]> {
    return (await this.#client.get<{ schedules: readonly ScheduleView[] }>(PATH, { next: nextRuns })).schedules;
  }

  run(name: string): Promise<{ readonly transport: string; readonly messageId: string }> {
    return this.#client.post(`${pathOf(name)}/run`, undefined);
  }

  setPaused(name: string, paused: boolean): Promise<{ readonly transport: string }> {
    return this.#client.post(`${pathOf(name)}/${paused ? "pause" : "resume"}`, undefined);
  }

  remove(name: string): Promise<{ readonly transport: string }> {
    return this.#client.delete(pathOf(name));
  }
}

const pathOf = (name: string): string => `${PATH}/${encodeURIComponent(name)}`;
