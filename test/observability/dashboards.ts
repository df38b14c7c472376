import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One query of one panel. */
export interface PanelQuery {
  readonly uid: string;
  readonly dashboard: string;
  readonly panel: string;
  readonly unit: string;
  /** As Prometheus takes it: the dashboard's variables are replaced. */
  readonly expr: string;
  readonly legend: string;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
    readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
  }[];
}

/** Every query of every dashboard of a directory. */
export function dashboards(directory: string): readonly PanelQuery[] {
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"));
  return files.flatMap((file) => {
    const { uid, title, panels } = JSON.parse(readFileSync(join(directory, file), "utf8")) as Dashboard;
    return panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr, legendFormat }) => ({
        ...{ uid, dashboard: title, panel: panel.title, legend: legendFormat },
        unit: panel.fieldConfig?.defaults.unit ?? "",
        expr: expr.replaceAll("$queue", ".*").replaceAll("$__rate_interval", "15s"),
      })),
    );
  });
}
