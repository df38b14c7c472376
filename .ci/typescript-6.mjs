// dependency-cruiser asks for "typescript" and needs its JavaScript API, which version 7 does not have. Preloaded, this
// file points the name to the version 6 beside it.
import { createRequire, registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

// Resolved before the hook is there, which would see these look-ups as well.
const { resolve } = createRequire(import.meta.url);
const urls = new Map(["typescript", "typescript/package.json"].map((name) => [name, pathToFileURL(resolve(name)).href]));

registerHooks({
  resolve(specifier, context, nextResolve) {
    const url = urls.get(specifier);
    return url === undefined ? nextResolve(specifier, context) : { url, shortCircuit: true };
  },
});
