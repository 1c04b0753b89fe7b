/** A model's repository as the hub tells of it, through the official package: the commit of a revision, its files, their bytes. */
import type { ByteSource } from "../core/checkpoint/byte-source.ts";
import { templateFolder } from "../core/checkpoint/needed.ts";
import { GureumError } from "../core/errors.ts";
import { connectionTrouble } from "../core/host/web-ask.ts";
import { makeAsk } from "./ask.ts";
import { isCommit, type ModelName } from "./name.ts";
import type { Settings } from "./settings.ts";
import type { ReadFrom, RemoteFile } from "./transfer.ts";

export interface Repository {
  readonly commit: string;
  /** All files of its top folder and of additional_chat_templates, by path. */
  readonly files: ReadonlyMap<string, RemoteFile>;
  readonly read: (file: RemoteFile) => ReadFrom;
}

type Hub = typeof import("@huggingface/hub");

async function loadHub(where: string): Promise<Hub> {
  try {
    return await import("@huggingface/hub");
  } catch (error) {
    throw new GureumError(
      "not-found",
      {
        where,
        what: "no such folder on this disk, and the optional package `@huggingface/hub`, which finds models by name, is not installed",
        remedy: "install it with `npm install @huggingface/hub`, or give the path of a folder",
      },
      error,
    );
  }
}

/**
 * Looks the model up.
 * @throws GureumError "not-found", "access", "network", "format" for an answer that is none
 */
export async function openRepository({ id, revision, text }: ModelName, settings: Settings): Promise<Repository> {
  const hub = await loadHub(text);
  const ask = makeAsk(text, settings);
  const at = { hubUrl: settings.endpoint, fetch: ask };
  const repo = { type: "model", name: id } as const;
  const odd = (what: string, got: unknown): GureumError =>
    new GureumError("format", {
      where: text,
      what: `${what} from ${settings.endpoint}`,
      got: `${JSON.stringify(got)}`,
      remedy: "look at HF_ENDPOINT",
    });
  /** What the package throws of answers that it cannot read. */
  const asked = async <T>(body: () => Promise<T>): Promise<T> => {
    try {
      return await body();
    } catch (error) {
      if (error instanceof GureumError) throw error;
      throw odd("an answer that is not the hub's", connectionTrouble(error));
    }
  };
  const commit = isCommit(revision)
    ? revision
    : (await asked(() => hub.modelInfo({ name: id, revision, additionalFields: ["sha"], ...at }))).sha;
  if (typeof commit !== "string" || !isCommit(commit)) throw odd("no commit in the answer", commit);

  const files = new Map<string, RemoteFile>();
  const list = async (path?: string): Promise<boolean> => {
    let templates = false;
    for await (const entry of hub.listFiles({ repo, revision: commit, ...(path === undefined ? {} : { path }), ...at })) {
      if (entry.type === "directory" && entry.path === templateFolder) templates = true;
      if (entry.type !== "file") continue;
      const etag = entry.lfs?.oid ?? entry.oid;
      const byteLength = entry.lfs?.size ?? entry.size;
      if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag ?? "") || !Number.isSafeInteger(byteLength) || byteLength < 0)
        throw odd(`no hash or size of ${entry.path}`, entry);
      files.set(entry.path, { path: entry.path, byteLength, etag: etag! });
    }
    return templates;
  };
  if (await asked(() => list())) await asked(() => list(templateFolder));

  const read = (file: RemoteFile): ReadFrom =>
    async function* (byteOffset, signal, byteEnd = file.byteLength) {
      let refused: unknown;
      let unwanted = 0;
      const path = file.path.split("/").map(encodeURIComponent).join("/");
      const blob = await hub.downloadFile({
        repo,
        path: file.path,
        revision: commit,
        hubUrl: settings.endpoint,
        xet: false,
        downloadInfo: { size: file.byteLength, etag: file.etag, url: `${settings.endpoint}/${id}/resolve/${commit}/${path}` },
        // The package makes text of errors, and takes a whole file for the range that was asked for.
        fetch: async (input, init) => {
          try {
            const headers = new Headers(init?.headers);
            headers.set("accept-encoding", "identity");
            const answer = await ask(input, { ...init, headers, signal });
            if (answer.status === 416) throw new RangeError("the server's file is shorter than the one that is listed");
            if (answer.status !== 206) unwanted = byteOffset;
            else if (!answer.headers.get("content-range")?.startsWith(`bytes ${byteOffset}-`))
              throw new Error("another range came than was asked for");
            return answer;
          } catch (error) {
            refused = error;
            throw error;
          }
        },
      });
      if (!blob) throw odd("no file in the answer", file.path);
      try {
        for await (const bytes of blob.slice(byteOffset, byteEnd).stream() as unknown as AsyncIterable<Uint8Array>) {
          const skipped = Math.min(unwanted, bytes.length);
          unwanted -= skipped;
          if (skipped < bytes.length) yield bytes.subarray(skipped);
        }
      } catch (error) {
        throw refused ?? error;
      }
    };
  return { commit, files, read };
}

/** A file of a repository, read by ranges and not kept. */
export function remoteSource(where: string, { read }: Repository, file: RemoteFile): ByteSource {
  return {
    name: `${where}/${file.path}`,
    byteLength: file.byteLength,
    async readInto(byteOffset, target) {
      const stop = new AbortController();
      let done = 0;
      try {
        for await (const bytes of read(file)(byteOffset, stop.signal, byteOffset + target.length)) {
          const taken = bytes.subarray(0, target.length - done);
          target.set(taken, done);
          done += taken.length;
          if (done === target.length) return;
        }
      } catch (error) {
        if (error instanceof GureumError) throw error;
        throw new GureumError(
          "network",
          { where: `${where}/${file.path}`, what: "the connection broke", got: connectionTrouble(error) },
          error,
        );
      } finally {
        stop.abort();
      }
      throw new GureumError("network", {
        where: `${where}/${file.path}`,
        what: "the connection closed early",
        got: `${done} of ${target.length} bytes`,
      });
    },
    async close() {},
  };
}
