import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderReadme } from "./readme.ts";
import { CHART } from "./tools.ts";

// npm run chart:readme
writeFileSync(join(CHART, "README.md"), renderReadme());
