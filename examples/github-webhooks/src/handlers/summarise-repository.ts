import { defineHandler, systemClock } from "@symphony/core";
import type pg from "pg";
import { activitiesForSummary, storeSummary } from "../database.ts";
import { RepositorySummarise } from "../messages.ts";
import { renderSummary } from "../render.ts";

/** Renders a repository's summary from all its activities. Doing it once too often changes nothing: the newest wins. */
export const summariseRepository = defineHandler(
  RepositorySummarise,
  async function summariseRepository({ runId, repository }, context) {
    const client = context.db as pg.ClientBase;
    const lines = await activitiesForSummary(client, runId, repository);
    await storeSummary(client, {
      messageId: context.messageId,
      runId,
      repository,
      events: lines.length,
      markdown: renderSummary(repository, lines),
      latencyMs: systemClock.now() - context.dispatchedAt.getTime(),
    });
  },
  { transactional: true },
);
