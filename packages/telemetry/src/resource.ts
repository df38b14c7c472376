import { hostname } from "node:os";
import { defaultResource, detectResources, envDetector, type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { containerId } from "./container-id.ts";
import { SCHEMA_URL } from "./names.ts";

/** Who speaks: the service, and which of its processes. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` beat it. */
export function describeResource(container: string | null = containerId() ?? null): Resource {
  const own = {
    "service.name": "symphony",
    "service.instance.id": `${hostname()}:${process.pid}`,
    "host.name": hostname(),
    "process.pid": process.pid,
    ...(container === null ? {} : { "container.id": container }),
  };
  return defaultResource()
    .merge(resourceFromAttributes(own, { schemaUrl: SCHEMA_URL }))
    .merge(detectResources({ detectors: [envDetector] }));
}
