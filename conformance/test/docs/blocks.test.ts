/**
 * The code that README.md and docs show: every `gureum …` names options that its command takes, every option named in passing is one of some
 * command, TypeScript compiles against the public types, and blocks that need no files of the reader's run. About 10 s of CPU.
 */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { optionsOf, partsOf } from "../../../cli/completion.ts";
import type { Command } from "../../../cli/words.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { pathOf, root, textOf } from "../house/tree.ts";

const pages = [
  "README.md",
  ...readdirSync(new URL("docs/", root))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

interface Block {
  readonly place: string;
  readonly language: string;
  readonly code: string;
}
const blocks: readonly Block[] = pages.flatMap((page) => {
  const text = textOf(page);
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ 1: language, 2: code, index }) => ({
    place: `${page}:${text.slice(0, index).split("\n").length}`,
    language: language!,
    code: code!,
  }));
});
const inPassing = pages.flatMap((page) =>
  [
    ...textOf(page)
      .replaceAll(/^```.*?^```$/gms, "")
      .matchAll(/`([^`\n]+)`/g),
  ].map(({ 1: code }) => ({ place: page, code: code! })),
);

/** The words of each `gureum …` of a line of shell, with quotes as a shell reads them; a comment and what stands behind a pipe are not its. */
function commandsOf(line: string): string[][] {
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(#.*$)|(\|\|?|&&|[;()<>])|([^\s"'|;&()<>]+)/g)];
  const commands: string[][] = [];
  let open: string[] | undefined;
  for (const [, double, single, comment, end, plain] of words) {
    if (comment !== undefined) break;
    if (end !== undefined) open = undefined;
    else if (open) open.push(double ?? single ?? plain!);
    else if (plain === "gureum") {
      open = [];
      commands.push(open);
    }
  }
  return commands;
}

const names = [...textOf("cli.ts").matchAll(/name: "([a-z]+)"/g)].map(([, name]) => name!).filter((name) => name !== "completion");
const commandOf = async (name: string): Promise<Command> =>
  ((await import(new URL(`../../../cli/${name}.ts`, import.meta.url).href)) as Record<string, Command>)[name]!;

/** What is wrong with the words of one command; null where nothing is. It reads its words before anything else, and stops at one it does not know. */
async function wrongWords([name = "", ...words]: readonly string[]): Promise<string | null> {
  if (name.startsWith("--") || name === "completion" || name === "") return null;
  if (!names.includes(name)) return `no command ${name}`;
  const command = await commandOf(name);
  const isPart = partsOf(name, command.help).length > 0;
  if (isPart && !partsOf(name, command.help).includes(words[0] ?? "")) return words.length === 0 ? null : `no part ${words[0]}`;
  // In passing an option may stand without its value.
  const tails = [["--no-such-option"], ["1", "--no-such-option"]];
  const said: string[] = [];
  for (const tail of tails)
    said.push(
      await command.run([...words, ...tail]).then(
        () => "ran",
        (error: Error) => error.message,
      ),
    );
  return said.some((message) => message.includes("Unknown option '--no-such-option'")) ? null : said[0]!;
}

/** Options of every command, and of other tools, that the docs speak of. */
const foreign = ["--help", "--version", "--omit", "--dry-run"];

describe("what the docs type", () => {
  const lines = [
    ...blocks.filter(({ language }) => language === "sh").flatMap(({ place, code }) => code.split("\n").map((line) => ({ place, line }))),
    ...pages.flatMap((page) => [...textOf(page).matchAll(/^ {4}gureum [^[\n]*$/gm)].map(([line]) => ({ place: page, line: line! }))),
    ...inPassing
      .filter(({ code }) => /^(npx )?gureum (?!receipt )/.test(code) && !/[[|]/.test(code))
      .map(({ place, code }) => ({ place, line: code })),
  ];

  it("are commands with options that they take", async () => {
    const commands = lines.flatMap(({ place, line }) => commandsOf(line).map((words) => ({ place, words })));
    expect(commands.length).toBeGreaterThan(80);
    const wrong: string[] = [];
    for (const { place, words } of commands) {
      const why = await wrongWords(words);
      if (why !== null) wrong.push(`${place}: gureum ${words.join(" ")}: ${why}`);
    }
    expect(wrong).toEqual([]);
  });

  it("is found wrong where it is", async () => {
    expect(commandsOf("cat x | npx gureum chat \"a b\" --file 'c d' || true # gureum no")).toEqual([["chat", "a b", "--file", "c d"]]);
    expect(await wrongWords(["chat", "a", "--gredy"])).toMatch(/--gredy/);
    expect(await wrongWords(["bench", "kernel"])).toMatch(/no part kernel/);
    expect(await wrongWords(["talk"])).toMatch(/no command talk/);
    expect(await wrongWords(["quantize", "a", "b", "--report"])).toBeNull();
  });

  it("names no option, in passing either, that nothing takes", async () => {
    const helps = await Promise.all(names.map(async (name) => (await commandOf(name)).help));
    const known = new Set(optionsOf(helps.join("\n")).map(({ name }) => name));
    const named = inPassing.flatMap(({ place, code }) =>
      [...code.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([name]) => ({ place, name: name! })),
    );
    expect(named.length).toBeGreaterThan(60);
    expect(named.filter(({ name }) => !known.has(name) && !foreign.includes(name))).toEqual([]);
  });
});

/** What the text around the blocks gives. */
const given = `
import type { ChatMessage, LoadedModel } from "gureum";
import type { OwnKernel } from "gureum/conformance";
declare global {
  const [model, small]: [LoadedModel, LoadedModel];
  const messages: ChatMessage[];
  const signal: AbortSignal;
  const show: (what: string | number) => void;
  const wgsl: string;
  const record: OwnKernel;
  const mine: (x: Float32Array, weight: Float32Array, eps: number, T: number) => Promise<Float32Array>;
  const a: () => void;
  const b: () => Promise<void>;
}`;

const folder = freshFolder("blocks");
/** A block as a module: what it takes of the package and does not import is imported. */
async function moduleOf(code: string): Promise<string> {
  const lines = ["export {};"];
  for (const door of ["", "/conformance", "/bench"]) {
    const exported = Object.keys((await import(new URL(`../../..${door}/index.ts`, import.meta.url).href)) as object);
    const used = exported.filter(
      (name) => new RegExp(`(?<!["'./\\w])${name}\\(`).test(code) && !new RegExp(`import .*\\b${name}\\b`).test(code),
    );
    if (used.length > 0) lines.push(`import { ${used.join(", ")} } from "gureum${door}";`);
  }
  const [, own] = /^export default (\{.*\});\n$/s.exec(code) ?? [];
  return [...lines, own === undefined ? code : `export default ${own} satisfies import("gureum/conformance").OwnKernel;`].join("\n");
}

beforeAll(async () => {
  await mkdir(join(folder, "node_modules"));
  await symlink(pathOf(""), join(folder, "node_modules/gureum"));
  await symlink(pathOf("node_modules/@types"), join(folder, "node_modules/@types"));
  await symlink(pathOf("node_modules/@webgpu"), join(folder, "node_modules/@webgpu"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
});

const run = async (args: readonly string[]): Promise<string> =>
  promisify(execFile)(process.execPath, args, { cwd: folder }).then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => `failed: ${stdout}${stderr}`,
  );

describe("what the docs program", () => {
  const programs = blocks.filter(({ language }) => language === "ts" || language === "js");

  it("compiles against the public types", async () => {
    expect(programs.length).toBeGreaterThan(10);
    await writeFile(join(folder, "given.d.ts"), given);
    const files = programs.map(({ place }) => `${place.replaceAll(/\W/g, "-")}.ts`);
    for (const [i, { code }] of programs.entries()) await writeFile(join(folder, files[i]!), await moduleOf(code));
    const options = "--noEmit --strict --skipLibCheck --module nodenext --target es2023 --lib es2023,dom --types node".split(" ");
    expect(await run([pathOf("node_modules/typescript/bin/tsc"), ...options, "given.d.ts", ...files])).toBe("");
  });

  it("runs where it needs nothing of the reader's: README's first, and what goes on from its model", async () => {
    const [first, ...further] = programs.filter(({ place, code }) => /README|library/.test(place) && !code.includes("worker"));
    await writeFile(join(folder, "first.mjs"), first!.code);
    expect(await run(["first.mjs"])).toMatch(/안녕하세요/);
    const body = further.map(({ code }) => `{\n${code}}\n`).join("");
    const head =
      'import { embeddedModel, loadModel } from "gureum";\nconst model = await loadModel(embeddedModel(), { backend: "cpu" });\n';
    await writeFile(join(folder, "further.mjs"), `${head}const small = model;\n${body}model.dispose();\nconsole.log("done");`);
    expect(further.length).toBe(3);
    const said = await run(["further.mjs"]);
    expect(said).toMatch(/^[012] (?!Error)/m);
    expect(said).toMatch(/done\n$/);
  });
});
