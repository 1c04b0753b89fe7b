/**
 * The package as a consumer gets it: packed, unpacked into an empty folder with its dependencies linked in (nothing is fetched), compiled against
 * and run. `webgpu` and `@huggingface/hub` are left out, as optional dependencies may be. About 8 s of CPU.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string | Files>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
};
let folder: string;
const installed = (path: string): string => join(folder, "node_modules/gureum", path);

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
const run = async (file: string, args: readonly string[]): Promise<Outcome> =>
  promisify(execFile)(file, args, { cwd: folder, env: { ...process.env, NO_COLOR: "1" } }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Outcome) => ({ code, stdout, stderr }),
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gureum-package-"));
  await promisify(execFile)("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], { cwd: root });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  await mkdir(installed(""), { recursive: true });
  await promisify(execFile)("tar", ["-xzf", join(folder, tarball), "--strip-components=1", "-C", installed("")]);
  for (const name of [...Object.keys(manifest.dependencies), "@types/node"]) {
    await mkdir(dirname(join(folder, "node_modules", name)), { recursive: true });
    await symlink(join(root, "node_modules", name), join(folder, "node_modules", name));
  }
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const consumer = `
import { embeddedModel, loadModel } from "gureum";
import type {
  AddedToken, AwqConfig, ByteStore, ChatMessage, DecodedBatch, DecodeOptions, EncodeOptions, ErrorCode, FinishReason, ForwardOptions,
  GenerateOptions, GenerateResult, LlamaConfig, LoadedModel, LoadOptions, Model, RopeScaling, SamplingOptions, Session, StreamingDecoder,
  TapHook, TokenEvent, Tokenizer, TraceValue,
} from "gureum";
import { GureumError } from "gureum/core/errors";
import { openDevice } from "gureum/gpu/device/device";
import { rmsNorm } from "gureum/core/ops/rms-norm";
import { loadTokenizer } from "gureum/tokenizer";
export type All = [
  AddedToken, AwqConfig, ByteStore, ChatMessage, DecodedBatch, DecodeOptions, EncodeOptions, ErrorCode, FinishReason, ForwardOptions,
  GenerateOptions, GenerateResult, LlamaConfig, LoadedModel, LoadOptions, Model, RopeScaling, SamplingOptions, Session, StreamingDecoder,
  TapHook, TokenEvent, Tokenizer, TraceValue,
];
const model = await loadModel(embeddedModel(), { backend: "cpu" });
const run = model.generate({ text: "구름" });
for (let next = await run.next(); ; next = await run.next())
  if (next.done) {
    const reason: FinishReason = next.value.finishReason;
    if (reason === "length") break;
  }
export const code: ErrorCode = new GureumError("usage", { what: "x" }).code;
export { loadTokenizer, openDevice, rmsNorm };
`;

interface Files {
  readonly types: string;
  readonly default: string;
}
const doors = Object.entries(manifest.exports).filter((entry): entry is [string, Files] => typeof entry[1] !== "string");

/** What can be imported: each door, and for a door with a star every file behind it. */
function specifiers(): string[] {
  return doors.flatMap(([door, to]) => {
    if (!door.includes("*")) return [`gureum${door.slice(1)}`];
    const folder = to.default.slice(0, to.default.indexOf("*"));
    const files = readdirSync(installed(folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
    return files.map((name) => `gureum${door.slice(1).replace("*", name.slice(0, -3))}`);
  });
}

describe("the packed package", () => {
  // @webgpu/types itself does not compile without the DOM's declarations, so only there are libraries left unchecked.
  for (const [lib, types] of [
    ["es2022", ""],
    ["es2022,dom", ""],
    ["es2022", "@webgpu/types"],
  ] as const)
    it(`compiles in a consumer with lib ${lib}${types ? ` and ${types}` : ""}${types ? "" : ", every declaration checked"}`, async () => {
      const rest = specifiers().map((name, i) => `export * as door${i} from "${name}";\n`);
      await writeFile(join(folder, "consumer.ts"), consumer + rest.join(""));
      const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", lib, "--types", types];
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      const { code, stdout } = await run(process.execPath, [tsc, ...options, "--skipLibCheck", `${types !== ""}`, "consumer.ts"]);
      expect(stdout).toBe("");
      expect(code).toBe(0);
    });

  it("has a file and its declarations behind every door, and each loads without webgpu", async () => {
    const paths = doors.filter(([door]) => !door.includes("*")).flatMap(([, to]) => [to.types, to.default]);
    expect(paths.filter((path) => !existsSync(installed(path)))).toEqual([]);
    const names = specifiers();
    expect(names.length).toBeGreaterThan(doors.length);
    await writeFile(join(folder, "doors.js"), names.map((name) => `await import("${name}");\nconsole.log("${name}");\n`).join(""));
    const { code, stdout, stderr } = await run(process.execPath, ["doors.js"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout.trim().split("\n")).toEqual(names);
  });

  it("runs the README's example", async () => {
    const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))![1]!;
    await writeFile(join(folder, "readme.js"), example);
    const { code, stdout, stderr } = await run(process.execPath, ["readme.js"]);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe("안녕하세요. 만나서 반가워요.");
  });

  it("opens no other door", async () => {
    await writeFile(join(folder, "closed.js"), 'await import("gureum/core/checkpoint/json").catch((e) => console.log(e.code));');
    expect((await run(process.execPath, ["closed.js"])).stdout.trim()).toBe("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });

  it("has maps whose sources are in the package", () => {
    // The page is a bundle, without maps.
    const files = readdirSync(installed("dist"), { recursive: true, encoding: "utf8" }).filter((name) => !name.startsWith("page/"));
    const maps = files.filter((name) => name.endsWith(".map"));
    expect(maps.length).toBe(files.filter((name) => /(?<!\.d)\.ts$|\.js$|\.d\.ts$/.test(name)).length);
    const sources = maps.map((name) => {
      const path = installed(join("dist", name));
      const { sources } = JSON.parse(readFileSync(path, "utf8")) as { sources: string[] };
      return join(dirname(path), sources[0]!);
    });
    expect(
      sources.filter((source) => !existsSync(source)),
      "what was built from files that are gone: npm run prepare",
    ).toEqual([]);
  });

  it("takes the room that the README says", () => {
    const bytes = (folder: string): number =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
    // fast-check's one dependency is not linked in.
    const brought = [...Object.keys(manifest.dependencies), "pure-rand"].map((name) => bytes(join(root, "node_modules", name)));
    const megabytes = (bytes(installed("")) + brought.reduce((a, b) => a + b)) / 1e6;
    const said = Number(/for the CPU alone, (\d+) MB/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1]);
    expect(Math.abs(megabytes - said), `${megabytes} MB`).toBeLessThan(said / 4);
  });

  it("brings docs and examples, and no tests", () => {
    for (const path of ["docs/supported.md", "docs/examples/stream.ts", "models/gureum-tiny-awq/model.safetensors", "CHANGELOG.md"])
      expect(existsSync(installed(path)), path).toBe(true);
    for (const path of ["conformance/test", "dist/conformance/test", ".ci"]) expect(existsSync(installed(path)), path).toBe(false);
  });

  it("answers on the CPU without webgpu, and says what to install where WebGPU is asked for", async () => {
    const cli = installed("dist/cli.js");
    const answer = await run(process.execPath, [cli, "generate", "구름", "--max-new-tokens", "2"]);
    expect(answer.code, answer.stderr).toBe(0);
    const refused = await run(process.execPath, [cli, "generate", "구름", "--backend", "webgpu"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr.trim().split("\n").at(-1)).toBe(
      "gureum: webgpu: the optional package `webgpu` (Dawn for Node) is not installed — install it with `npm install webgpu`, or use the CPU backend",
    );
  });

  it("says what to install where a model is named and the hub's package is missing", async () => {
    const refused = await run(process.execPath, [installed("dist/cli.js"), "generate", "구름", "--model", "org/name"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr.trim()).toBe(
      "gureum: org/name: no such folder on this disk, and the optional package `@huggingface/hub`, which finds models by name, is not installed — install it with `npm install @huggingface/hub`, or give the path of a folder",
    );
  });
});

describe("the manifest", () => {
  it("asks for webgpu, most of an install's size, and the hub's package as options only", () => {
    expect(Object.keys(manifest.optionalDependencies)).toEqual(["@huggingface/hub", "webgpu"]);
    for (const name of Object.keys(manifest.optionalDependencies)) expect(Object.keys(manifest.dependencies)).not.toContain(name);
  });
});
