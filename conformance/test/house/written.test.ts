/**
 * Text that the tree writes: `npm run docs` runs this file with `-u`, which rewrites what differs; without it a difference fails.
 * Nothing here imports what it writes.
 */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pathOf, root, textOf } from "./tree.ts";

/** Fails where the file does not read so; with `-u` it does afterwards. */
const writes = (name: string, text: string): Promise<void> => expect(text).toMatchFileSnapshot(pathOf(name));

describe("what `npm run docs` writes is what stands there:", () => {
  it("the list of kits", async () => {
    const ops = readdirSync(new URL("conformance/ops/", root))
      .filter((name) => name.endsWith(".ts"))
      .map((name) => name.slice(0, -3))
      .sort();
    const head =
      "/** Every file of ops/ by the name of its op. Written by `npm run docs`: a static list, since browsers cannot read a folder. */";
    const lines = ops.map((op) => `export { kit as ${/^\w+$/.test(op) ? op : `"${op}"`} } from "./ops/${op}.ts";`);
    await writes("conformance/ops.ts", `${[head, ...lines].join("\n")}\n`);
  });

  it("the version", async () => {
    const { version } = JSON.parse(textOf("package.json")) as { version: string };
    await writes(
      "core/version.ts",
      `/** The package's version. Written by \`npm run docs\` from package.json, which browsers do not have. */\nexport const VERSION = ${JSON.stringify(version)};\n`,
    );
  });
});
