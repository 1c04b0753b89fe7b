/**
 * Builds the page: static files with relative addresses, into dist/page. What it takes of the library it takes from the build, dist/, as
 * everybody else does: run `tsc -b` first.
 */
import { execFileSync } from "node:child_process";
import { relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
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

/**
 * Kernels without their comments and indents, which no minifier takes out of a string, and where a statement stands in a text of theirs without the spaces around
 * its operators: lines that declare something are read, spaces and all (gpu/pipeline/kernel.ts). Comments are whole lines, and ends of lines behind a statement.
 * Lines and columns of a compiler's message are those of what is left.
 */
const bareKernels = (): Plugin => ({
  name: "bare-kernels",
  transform(code, id) {
    if (!id.startsWith(resolve(root, "dist", "gpu"))) return null;
    const bare = (line: string): string => (line.includes("`") ? line : line.replace(/^ *\/\/ .*|(?<=[;{}]) +\/\/ .*/, ""));
    const texts = ["wgsl", "kernels"].some((room) => id.startsWith(resolve(root, "dist", "gpu", room)));
    const lines: string[] = [];
    let inside = false;
    let joins = false;
    for (const whole of code.split("\n")) {
      const line = bare(whole)
        .trim()
        .replace(/"\\n +"/g, '"\\n"');
      const statement = texts && inside && !/["']|^(?:@|enable|diagnostic|struct|override|const|alias|var<)/.test(line);
      if (line.split("`").length % 2 === 0) inside = !inside;
      if (line === "") continue;
      const close = statement ? line.replace(/(?<=[\w)\]]) ([=<>!&|^*/%+-]+) (?=[\w(])|([,;{]) | (?=[{}])/g, "$1$2") : line;
      const own = statement && !/[`$]/.test(line);
      if (own && joins) lines[lines.length - 1] += close;
      else lines.push(close);
      joins = own && /[;{},(]$/.test(line);
    }
    return lines.join("\n");
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
  worker: { format: "es", plugins: () => [fromBuild(), bareKernels()], rolldownOptions: { output, treeshake } },
  plugins: [fromBuild(), bareKernels(), withPolicy()],
});
