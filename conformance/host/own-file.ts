/** Kernels of one's own in a module on disk: its default export, one record or a list of them. In Node and Deno. */
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { readBytes } from "../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../core/errors.ts";
import { fileSource } from "../../core/host/node.ts";
import { decodeUtf8 } from "../../core/utf8.ts";
import { runtime } from "../certificate/environment.ts";
import { checkOwn, MEND, type OwnKernel } from "../own/kernel.ts";

/** A kernel and where it came from. */
export interface OwnFile {
  readonly path: string;
  readonly text: string;
  readonly kernels: readonly OwnKernel[];
}

/** Larger files are no kernel. */
const maxBytes = 2 ** 24;

async function readSource(path: string): Promise<string> {
  const source = await fileSource(path);
  try {
    if (source.byteLength > maxBytes)
      throw new GureumError("format", {
        where: path,
        what: "too large for a kernel's module",
        expected: `at most ${maxBytes} bytes`,
        got: `${source.byteLength}`,
      });
    return decodeUtf8(await readBytes(source, 0, source.byteLength));
  } finally {
    await source.close();
  }
}

/** Whether this host reads TypeScript: Deno does, Node where it strips types. */
const readsTypeScript = (): boolean => "Deno" in globalThis || Boolean((process.features as { typescript?: unknown }).typescript);

/** @throws GureumError "not-found", "io", "unsupported" for TypeScript where the host has none, "format" for all else */
export async function readOwnFile(path: string): Promise<OwnFile> {
  const text = await readSource(path);
  if (/\.[mc]?ts$/.test(path) && !readsTypeScript())
    throw new GureumError("unsupported", {
      where: path,
      what: `${runtime()} does not read TypeScript`,
      expected: "Node 22.18 or newer, or Deno",
      remedy: "save it as .mjs, with its types removed",
    });
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as typeof module;
  } catch (error) {
    const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    // Where in the file, if the host says it: "file:///…/mine.mjs:3" heads a syntax error's stack, and stands in others'.
    const names = [resolve(path), pathToFileURL(resolve(path)).pathname].map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const line = new RegExp(`(?:${names.join("|")}):(\\d+)`).exec(stack)?.[1];
    throw new GureumError(
      "format",
      { where: line ? `${path}:${line}` : path, what: `cannot be loaded (${name}: ${message.split("\n")[0]})`, remedy: MEND },
      error,
    );
  }
  const exported = module.default;
  if (exported === undefined)
    throw new GureumError("format", {
      where: path,
      what: "no default export",
      expected: "export default { name, op, wgsl, workgroups }, or a list of such",
    });
  const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
  if (list.length === 0) throw new GureumError("format", { where: path, what: "an empty list of kernels", expected: "one or more" });
  return { path, text, kernels: list.map((value) => checkOwn(path, value)) };
}

/**
 * The files' kernels, no two of one name.
 * @throws as `readOwnFile`
 */
export async function readOwnFiles(paths: readonly string[]): Promise<readonly OwnFile[]> {
  const files: OwnFile[] = [];
  const names = new Map<string, string>();
  for (const path of paths) {
    const file = await readOwnFile(path);
    for (const { name } of file.kernels) {
      const other = names.get(name);
      if (other !== undefined)
        throw new GureumError("format", {
          where: path,
          what: `two kernels are called ${JSON.stringify(name)}`,
          expected: `another name than in ${other}`,
        });
      names.set(name, path);
    }
    files.push(file);
  }
  return files;
}

/**
 * What went wrong with a kernel of a file, with the file's name before it and, where the compiler names a line of WGSL
 * that stands in the file as it is, that line of the file.
 */
export function inFile({ path, text }: OwnFile, { wgsl }: OwnKernel, error: unknown): unknown {
  if (!(error instanceof GureumError)) return error;
  const { where, got } = error.details;
  const line = /^line (\d+):(\d+) /.exec(got ?? "");
  const at = typeof wgsl === "string" ? text.indexOf(wgsl) : -1;
  const place =
    error.code === "pipeline" && line && at >= 0 ? `${path}:${text.slice(0, at).split("\n").length + Number(line[1]) - 1}` : path;
  const remedy = error.code === "pipeline" ? { remedy: MEND } : {};
  return new GureumError(error.code, { ...remedy, ...error.details, where: where ? `${place} > ${where}` : place }, error);
}
