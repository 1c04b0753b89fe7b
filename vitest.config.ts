import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["conformance/test/**/*.test.ts"],
    // Vitest leaves one core free; on two that is half of them.
    maxWorkers: "100%",
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
