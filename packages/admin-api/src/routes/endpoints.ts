import type { Messenger, Runtime } from "@symphony/core";
import type { Credentials } from "../auth/credentials.ts";
import type { ConsumeLimits, Consumers } from "../consume/consumers.ts";
import type { StatusReadings } from "../status-readings.ts";
import { auditEndpoints } from "./audit.ts";
import { consumeEndpoint, cronEndpoint } from "./consume.ts";
import { dispatchEndpoint } from "./dispatch.ts";
import { docsEndpoints } from "./docs.ts";
import type { AnyEndpoint } from "./endpoint.ts";
import { failedEndpoints } from "./failed.ts";
import { messageEndpoints } from "./messages.ts";
import { queueControlEndpoints } from "./queue-control.ts";
import { redriveEndpoints } from "./redrives.ts";
import { scalingEndpoint } from "./scaling.ts";
import { scheduleEndpoints } from "./schedules.ts";
import { statusEndpoints } from "./status.ts";
import { stopWorkersEndpoint } from "./stop-workers.ts";
import type { RouteName } from "./table.ts";

export interface EndpointsInput {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
  readonly consumers: Consumers;
  readonly readings: Pick<StatusReadings, "of">;
  readonly credentials: Pick<Credentials, "state">;
  readonly cronLimits: ConsumeLimits;
  readonly publicDocs: boolean;
  readonly requireCronNonce: boolean;
  /** A redrive was made or resumed: this process may carry it out at once. */
  readonly wakeRedrives: () => void;
}

/** What stands behind each route of the table; the compiler sees to it that none is missing. */
export function createEndpoints(input: EndpointsInput): Readonly<Record<RouteName, AnyEndpoint>> {
  const { messenger, consumers } = input;
  const endpoints: Readonly<Record<RouteName, AnyEndpoint>> = {
    dispatch: dispatchEndpoint(messenger),
    consume: consumeEndpoint(messenger, consumers),
    ...statusEndpoints(input),
    stopWorkers: stopWorkersEndpoint(messenger),
    ...failedEndpoints(input),
    ...redriveEndpoints(input),
    ...messageEndpoints(input),
    ...queueControlEndpoints(input),
    ...scheduleEndpoints(input),
    ...auditEndpoints(input),
    scaling: scalingEndpoint(input),
    cron: cronEndpoint(input, "GET"),
    cronByPost: cronEndpoint(input, "POST"),
    ...docsEndpoints(() => endpoints, input.publicDocs),
  };
  return endpoints;
}
