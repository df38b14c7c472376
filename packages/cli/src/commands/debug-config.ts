import { defineCommand } from "../command.ts";
import type { LoadedConfig } from "../config-file.ts";
import type { Environment } from "../environment.ts";
import { maskDsn } from "../mask.ts";
import { print, table } from "../output.ts";
import { openSession, type Session } from "../session.ts";
import { SETTINGS, type SettingName, type Settings, shown, unknownVariables } from "../settings.ts";

interface ShownSetting {
  readonly value: unknown;
  readonly source: string;
  readonly from: string;
}

interface ShownConfig {
  readonly file: string | null;
  readonly settings: Readonly<Record<string, ShownSetting>>;
  readonly transports: Readonly<Record<string, { readonly dsn: string; readonly source: string; readonly from: string }>>;
  readonly warnings: readonly string[];
}

function describeConfig({ loaded, settings }: Pick<Session, "loaded" | "settings">, environment: Environment): ShownConfig {
  const names = Object.keys(SETTINGS) as SettingName[];
  return {
    file: loaded.file,
    settings: Object.fromEntries(
      names.map((name) => {
        const { source, from } = settings[name];
        return [name, { value: shown(name, settings[name]) ?? null, source, from }];
      }),
    ),
    transports: Object.fromEntries(
      Object.entries(loaded.parsed.transports).map(([name, { dsn }]) => [
        name,
        { dsn: maskDsn(dsn), ...originOf(name, dsn, loaded, settings) },
      ]),
    ),
    warnings: unknownVariables(environment),
  };
}

function originOf(name: string, dsn: string, loaded: LoadedConfig, settings: Settings): { source: string; from: string } {
  const variable = loaded.replacedDsns[name];
  if (variable !== undefined) return { source: "environment", from: variable };
  // `process.env.DATABASE_URL ?? "embedded:"` in the file.
  if (dsn === settings.databaseUrl.value) return { source: "environment", from: `${settings.databaseUrl.from} in the configuration` };
  return loaded.file === null ? { source: "default", from: "" } : { source: "config", from: `transports.${name}.dsn` };
}

const format = (value: unknown): string => (value === null ? "-" : Array.isArray(value) ? value.join(",") : String(value));

function toText(config: ShownConfig): string {
  const rows = [
    ...Object.entries(config.settings).map(([name, setting]) => ({ name, ...setting })),
    ...Object.entries(config.transports).map(([name, { dsn, ...rest }]) => ({ name: `transport ${name}`, value: dsn, ...rest })),
  ];
  const settings = table(
    [
      { title: "SETTING", value: (row) => row.name },
      { title: "VALUE", value: (row) => format(row.value) },
      { title: "SOURCE", value: (row) => row.source },
      { title: "FROM", value: (row) => row.from },
    ],
    rows,
  );
  return [
    `configuration: ${config.file ?? "none found, defaults"}`,
    "",
    settings,
    ...config.warnings.map((warning) => `warning: ${warning}`),
  ].join("\n");
}

export const debugConfig = defineCommand({
  usage: "config",
  describe: "Show every setting and where its value came from; secrets masked",
  examples: [["SYMPHONY_WORKER_BATCH_SIZE=50 symphony debug config", "what the environment changes"]],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const config = describeConfig(session, io.environment);
    print(io, flags.json === true, config, () => toText(config));
  },
});
