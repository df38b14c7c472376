import { defineCommand, texts } from "../command.ts";
import { plural, print } from "../output.ts";
import { chosenTransports, openSession, withMessenger, withoutAutoSetup } from "../session.ts";
import { nobodyToAsk, stopperOf } from "../stop-requests.ts";

export const stopWorkers = defineCommand({
  usage: "stop-workers",
  describe: "Ask every fleet that runs now to replace its worker processes, one by one",
  remote: true,
  options: { transport: texts("Only the fleets that consume this transport; may be repeated") },
  examples: [["symphony stop-workers", "after a deployment, so that new code is loaded"]],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const asked = await withMessenger(
      session,
      async (messenger) => {
        const chosen = chosenTransports(messenger, flags.transport);
        const able = chosen.flatMap(([name, transport]) => {
          const stop = stopperOf(name, transport);
          return stop === undefined ? [] : [{ name, stop }];
        });
        if (able.length === 0) throw nobodyToAsk();
        return Promise.all(able.map(async ({ name, stop }) => ({ transport: name, workers: await stop() })));
      },
      withoutAutoSetup(session.loaded.config),
    );
    const total = asked.reduce((sum, { workers }) => sum + workers, 0);
    print(io, flags.json === true, { success: true, workers: total, transports: asked }, () =>
      total === 0 ? "no workers are running" : `asked ${plural(total, "worker")} to make room for new ones`,
    );
  },
});
