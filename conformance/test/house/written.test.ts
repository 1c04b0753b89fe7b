/**
 * Text that the tree writes: `npm run docs` runs this file with `-u`, which rewrites what differs; without it a difference fails.
 * Nothing here imports what it writes. In a document it is what stands between `<!-- written by npm run docs: NAME -->` and `<!-- end -->`.
 */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Certificate } from "../../certificate/certificate.ts";
import { allKernels } from "../../host/kernels.ts";
import { filesNaming, kernelTable, type MutationRuns, matrixTable, mutationTable, speedTable, variantTable } from "./tables.ts";
import { pathOf, root, sources, textOf } from "./tree.ts";

/** Fails where the file does not read so; with `-u` it does afterwards. */
const writes = (name: string, text: string): Promise<void> => expect(text).toMatchFileSnapshot(pathOf(name));

const json = (name: string): unknown => JSON.parse(textOf(name));

/** The document with a section of it written anew. */
function section(text: string, name: string, content: string): string {
  const parts = text.split(`<!-- written by npm run docs: ${name} -->`);
  expect(parts, `one section "${name}"`).toHaveLength(2);
  return `${parts[0]}<!-- written by npm run docs: ${name} -->\n\n${content}\n\n${parts[1]!.slice(parts[1]!.indexOf("<!-- end -->"))}`;
}

describe("what `npm run docs` writes is what stands there:", () => {
  it.each([
    ["kits", "conformance/ops", "kit", "of ops/ by the name of its op"],
    ["the kernels' subjects", "conformance/kernels", "subjects", "of kernels/ by the name of its kernel"],
    ["the kernels' work", "bench/work", "works", "of work/ by its name"],
  ])("the list of %s", async (_what, folder, name, head) => {
    const names = readdirSync(new URL(`${folder}/`, root))
      .filter((file) => file.endsWith(".ts"))
      .map((file) => file.slice(0, -3))
      .sort();
    const comment = `/** Every file ${head}. Written by \`npm run docs\`: a static list, since browsers cannot read a folder. */`;
    const from = `./${folder.slice(folder.indexOf("/") + 1)}`;
    const lines = names.map((file) => `export { ${name} as ${/^\w+$/.test(file) ? file : `"${file}"`} } from "${from}/${file}.ts";`);
    await writes(`${folder}.ts`, `${[comment, ...lines].join("\n")}\n`);
  });

  it("the version", async () => {
    const { version } = JSON.parse(textOf("package.json")) as { version: string };
    await writes(
      "core/version.ts",
      `/** The package's version. Written by \`npm run docs\` from package.json, which browsers do not have. */\nexport const VERSION = ${JSON.stringify(version)};\n`,
    );
  });

  it("the matrix of docs/conformance.md, from the committed certificates", async () => {
    const certificates = readdirSync(new URL("docs/conformance/", root))
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => [name.slice(0, -5), json(`docs/conformance/${name}`) as Certificate] as const)
      .filter(([, { format }]) => format === "gureum-conformance/1");
    expect(certificates.length).toBeGreaterThan(3);
    await writes("docs/conformance.md", section(textOf("docs/conformance.md"), "matrix", matrixTable(certificates)));
  });

  it("the tables of docs/conformance/mutation.md, from the committed scores", async () => {
    const runs = json("docs/conformance/mutation.json") as MutationRuns;
    const kinds = [...new Set(runs.runs.map(({ what }) => what))];
    const text = kinds.reduce((doc, what) => section(doc, what, mutationTable(runs, what)), textOf("docs/conformance/mutation.md"));
    await writes("docs/conformance/mutation.md", text);
  });

  it("the speeds of README.md, from docs/benchmarks.md", async () => {
    await writes("README.md", section(textOf("README.md"), "speeds", speedTable(textOf("docs/benchmarks.md"))));
  });

  it("the tables of docs/kernels.md, from the plan and the kernels' files", async () => {
    const kernels = await allKernels();
    const files = sources().filter((path) => path.startsWith("gpu/kernels/"));
    const rows = files.flatMap((path) => {
      const kernel = kernels.get(path.slice(path.lastIndexOf("/") + 1, -3));
      return kernel ? [{ kernel, path, source: textOf(path) }] : [];
    });
    expect(rows).toHaveLength(kernels.size);
    await writes("docs/kernels.md", section(section(textOf("docs/kernels.md"), "variants", variantTable()), "kernels", kernelTable(rows)));
  });

  it("the lists of docs/adding-an-op.md, from the files that name an example", async () => {
    const examples: Record<string, readonly string[]> = {
      "silu-mul": ["silu-mul", "siluMul", "siluMulF16"],
      "matmul-tiled": ["matmul-tiled", "matmulTiled"],
      qNorm: ["qNorm", "q_norm"],
      gptq: ["gptq", "gptqLayout"],
      llama3: ["llama3"],
    };
    const product = sources()
      .filter((path) => !path.startsWith("conformance/test/"))
      .map((path) => [path, textOf(path)] as const);
    const text = Object.entries(examples).reduce(
      (doc, [name, words]) => section(doc, `files of ${name}`, filesNaming(words, product)),
      textOf("docs/adding-an-op.md"),
    );
    await writes("docs/adding-an-op.md", text);
  });
});
