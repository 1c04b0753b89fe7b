/**
 * Builds the page: static files with relative addresses, into dist/page. What it takes of the library it takes from the build, dist/, as
 * everybody else does: run `tsc -b` first.
 */
import { execFileSync } from "node:child_process";
import { relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { bareKernels } from "./bare-kernels.ts";
import { POLICY } from "./policy.ts";

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const [root, page] = [path(".."), path(".")];

/** The checkout's commit, as `git describe` has it; null outside one. */
function commit(): string | null {
  try {
    const words = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"];
    return execFileSync("git", words, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null;
  }
}

/** A file of another room, as it was built. */
const fromBuild = (): Plugin => ({
  name: "from-build",
  enforce: "pre",
  resolveId(source, importer) {
    if (!importer?.startsWith(page) || !source.startsWith("../") || !source.endsWith(".ts")) return null;
    const file = relative(root, resolve(importer, "..", source));
    return file.startsWith(`page${sep}`) ? null : resolve(root, "dist", file.replace(/\.ts$/, ".js"));
  },
});

const inPage = (): Plugin => ({
  name: "bare-kernels",
  transform(code, id) {
    const gpu = resolve(root, "dist", "gpu");
    if (!id.startsWith(gpu)) return null;
    return bareKernels(
      code,
      ["wgsl", "kernels"].some((room) => id.startsWith(resolve(gpu, room))),
    );
  },
});

/** The policy as an element of the page, for servers that send no headers of ours. */
const withPolicy = (): Plugin => ({ name: "policy", transformIndexHtml: (html) => html.replace("%POLICY%", POLICY) });

/** The embedded model's files keep their names, in a folder of their own: `gureum page` serves them from where the package has them. */
const output = {
  assetFileNames: ({ originalFileNames }: { readonly originalFileNames: readonly string[] }): string =>
    originalFileNames.some((name) => name.includes("models/gureum-tiny-awq")) ? "model/[name][extname]" : "assets/[name]-[hash][extname]",
};

/** fast-check's names of properties of Unicode, turned around for patterns that no kit draws from: calls that change nothing. */
const treeshake = { manualPureFunctions: ["inverseMap"] };

export default defineConfig({
  root: page,
  base: "./",
  define: { __COMMIT__: JSON.stringify(commit()) },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: path("../dist/page"),
    emptyOutDir: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: { output, treeshake },
  },
  worker: { format: "es", plugins: () => [fromBuild(), inPage()], rolldownOptions: { output, treeshake } },
  plugins: [fromBuild(), inPage(), withPolicy()],
});
