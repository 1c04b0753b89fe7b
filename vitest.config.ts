import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take minutes, to be begun first: the last ones to end would otherwise run alone. */
const long = ["page/page", "gpu/laws", "gpu/golden", "cli/cli", "exact/webgpu", "cli/bench", "gpu/model", "core/model/golden"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return at < 0 ? long.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  // package.json says where these lie in the build; tests run the sources.
  resolve: {
    alias: {
      "#host": fileURLToPath(new URL("host/node.ts", import.meta.url)),
      "#dawn": fileURLToPath(new URL("gpu/device/dawn.ts", import.meta.url)),
      "#quantize": fileURLToPath(new URL("quantize.ts", import.meta.url)),
      "#subgroups": fileURLToPath(new URL("conformance/device/subgroups.ts", import.meta.url)),
    },
  },
  test: {
    include: ["conformance/test/**/*.test.ts"],
    setupFiles: [
      "conformance/test/fixtures/lengths.ts",
      // The CPU's part of the suite on the JavaScript ops (docs/cpu.md says what that costs); conformance/test/wasm needs WebAssembly.
      ...(process.env.GUREUM_OPS === "javascript" ? ["conformance/test/fixtures/no-wasm.ts"] : []),
    ],
    // Vitest leaves one core free; on two that is half of them.
    maxWorkers: "100%",
    sequence: { sequencer: LongestFirst },
    // What was built is run as it is, not transformed once more.
    server: { deps: { external: [/^(?!.*\/node_modules\/).*\/dist\//] } },
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
