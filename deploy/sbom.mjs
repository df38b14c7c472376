// What is in an image, as a CycloneDX bill of materials: node deploy/sbom.mjs DIRECTORY VERSION
//
// Read from what is installed and not from the lock file: what was left out is not in it. It has no time and no random
// number, so that the same files give the same text.
import { globSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

const [root = ".", version = "0.0.0"] = process.argv.slice(2);

/** @param {string} directory */
function describe(directory) {
  const { name, version: own, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  if (typeof name !== "string" || typeof own !== "string") return [];
  const purl = `pkg:npm/${name.replace("@", "%40")}@${own}`;
  // An expression such as "(MIT OR Apache-2.0)" is not an identifier.
  const licenses = typeof license !== "string" ? [] : [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }];
  return [{ type: "library", "bom-ref": purl, name, version: own, purl, ...(licenses.length > 0 ? { licenses } : {}) }];
}

// Our own packages are links in node_modules, which are not followed.
const files = globSync(["packages/*/package.json", "**/node_modules/*/package.json", "**/node_modules/@*/*/package.json"], { cwd: root });
const packages = files.map((file) => realpathSync(dirname(join(root, file))));
const components = [...new Set(packages)].flatMap(describe).sort((a, b) => (a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0));
const unique = components.filter(({ purl }, i) => purl !== components[i - 1]?.purl);
const node = {
  type: "application",
  "bom-ref": "node",
  name: "node",
  version: process.versions.node,
  purl: `pkg:generic/node@${process.versions.node}`,
};

process.stdout.write(
  `${JSON.stringify({
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { component: { type: "container", "bom-ref": "image", name: "symphony-messenger", version } },
    components: [node, ...unique],
  })}\n`,
);
