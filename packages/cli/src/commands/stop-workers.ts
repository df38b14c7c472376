import { isReapable, isSupervisable, TransportError } from "@symphony/core";
import { defineCommand, texts } from "../command.ts";
import { plural, print } from "../output.ts";
import { chosenTransports, openSession, withMessenger, withoutAutoSetup } from "../session.ts";

export const stopWorkers = defineCommand({
  usage: "stop-workers",
  describe: "Ask every fleet that runs now to replace its worker processes, one by one",
  options: { transport: texts("Only the fleets that consume this transport; may be repeated") },
  examples: [["symphony stop-workers", "after a deployment, so that new code is loaded"]],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const asked = await withMessenger(
      session,
      async (messenger) => {
        const chosen = chosenTransports(messenger, flags.transport);
        const able = chosen.flatMap(([name, transport]) => (isSupervisable(transport) ? [{ name, transport }] : []));
        if (able.length === 0) {
          throw new TransportError("CAPABILITY_MISSING", "no transport here has workers of other processes to be asked");
        }
        return Promise.all(
          able.map(async ({ name, transport }) => {
            // Counted before: those that come up after the request are not meant by it.
            const workers = isReapable(transport) ? (await transport.listWorkers()).length : 0;
            await transport.requestStop();
            return { transport: name, workers };
          }),
        );
      },
      withoutAutoSetup(session.loaded.config),
    );
    const total = asked.reduce((sum, { workers }) => sum + workers, 0);
    print(io, flags.json === true, { success: true, workers: total, transports: asked }, () =>
      total === 0 ? "no workers are running" : `asked ${plural(total, "worker")} to make room for new ones`,
    );
  },
});
