/**
 * A server that answers as the hub does, from memory: the model's revision and its tree, page by page; small files through a relative
 * redirect, large ones through a redirect to another address (a CDN) with X-Linked-Etag, X-Linked-Size and X-Repo-Commit; ranges; refusals
 * with X-Error-Code. Its faults are set by the test. Source: answers of huggingface.co as huggingface_hub and @huggingface/hub read them.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Files = Readonly<Record<string, Uint8Array>>;

export interface FakeModel {
  /** Commit → files by path. */
  commits: Record<string, Files>;
  /** Branch or tag → commit. */
  refs: Record<string, string>;
  gated?: boolean;
  private?: boolean;
}

export interface Asked {
  readonly method: string;
  /** "hub" or "cdn" */
  readonly at: string;
  readonly url: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

export interface FakeHub {
  readonly url: string;
  readonly models: Record<string, FakeModel>;
  readonly asked: Asked[];
  /** Tokens that may see private and gated models. */
  readonly tokens: Set<string>;
  /** What is done instead of sending bytes of a file; true where it was. */
  fault: (path: string, body: Uint8Array, response: ServerResponse, at: Asked) => boolean;
  /** So many requests to come are answered 503. */
  busy: number;
  /** Sends whole files whatever range was asked for. */
  ignoresRanges: boolean;
  close(): Promise<void>;
}

const sha1 = (bytes: Uint8Array): string => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const isLarge = (path: string): boolean => /\.(safetensors|model|bin|gguf)$/.test(path);
export const etagOf = (path: string, bytes: Uint8Array): string => (isLarge(path) ? sha256(bytes) : sha1(bytes));

/** Entries of a tree on a page. */
const PAGE = 4;

const listen = (server: Server): Promise<string> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });

const shut = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

export async function fakeHub(models: Record<string, FakeModel>): Promise<FakeHub> {
  const asked: Asked[] = [];
  const blobs = new Map<string, { path: string; bytes: Uint8Array }>();
  const json = (response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
  };
  const refuse = (response: ServerResponse, status: number, code: string, message: string): void => {
    response.writeHead(status, { "x-error-code": code, "x-error-message": message, "content-type": "application/json" });
    response.end(JSON.stringify({ error: message }));
  };
  const sendFile = (at: Asked, response: ServerResponse, path: string, bytes: Uint8Array, headers: Record<string, string>): void => {
    const from = hub.ignoresRanges ? null : /^bytes=(\d+)-(\d*)$/.exec(at.range ?? "");
    const start = from ? Number(from[1]) : 0;
    const end = from?.[2] ? Math.min(bytes.length, Number(from[2]) + 1) : bytes.length;
    if (from && start >= bytes.length) return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    const range = from ? { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` } : {};
    response.writeHead(from ? 206 : 200, { ...headers, ...range, "accept-ranges": "bytes", "content-length": `${end - start}` });
    if (at.method === "HEAD") return void response.end();
    if (!hub.fault(path, bytes.subarray(start, end), response, at)) response.end(bytes.subarray(start, end));
  };
  const note = (at: string, request: IncomingMessage): Asked => {
    const { method = "", url = "", headers } = request;
    const one = { method, at, url, range: headers.range ?? null, authorization: headers.authorization ?? null };
    asked.push(one);
    return one;
  };

  const cdn = createServer((request, response) => {
    const at = note("cdn", request);
    const blob = blobs.get(at.url.slice(1));
    if (blob) sendFile(at, response, blob.path, blob.bytes, { etag: `"${at.url.slice(1)}"` });
    else response.writeHead(403).end("<?xml version='1.0'?><Error/>");
  });
  const cdnUrl = await listen(cdn);

  const server = createServer((request, response) => {
    const at = note("hub", request);
    if (hub.busy-- > 0) return response.writeHead(503, { "retry-after": "0" }).end("busy");
    const url = new URL(at.url, hub.url);
    const path = decodeURIComponent(url.pathname);
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/(revision|tree)\/(.+))?$/.exec(path);
    const file = /^\/(api\/resolve-cache\/models\/)?([^/]+\/[^/]+)\/(?:resolve\/)?(.+)$/.exec(path);
    const id = (api?.[1] ?? file?.[2])!;
    const model = hub.models[id];
    const token = at.authorization?.replace("Bearer ", "");
    if (token !== undefined && !hub.tokens.has(token))
      return response.writeHead(401, { "x-error-message": "Invalid credentials in Authorization header" }).end();
    if (!model || (model.private && token === undefined))
      return token === undefined
        ? refuse(response, 401, "RepoNotFound", "Repository not found")
        : refuse(response, 404, "RepoNotFound", "Repository not found");
    const rest = api ? (api[3] ?? "main") : file![3]!;
    const names = [...Object.keys(model.refs), ...Object.keys(model.commits)];
    const revision = names.filter((name) => rest === name || rest.startsWith(`${name}/`)).sort((a, b) => b.length - a.length)[0];
    if (revision === undefined) return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${rest}`);
    const commit = model.refs[revision] ?? revision;
    const files = model.commits[commit]!;
    const inside = rest.slice(revision.length + 1);
    if (api && api[2] !== "tree") {
      const siblings = Object.keys(files).map((rfilename) => ({ rfilename }));
      const gated = model.gated ? "auto" : false;
      return json(response, {
        _id: "1",
        id,
        modelId: id,
        sha: commit,
        private: false,
        gated,
        downloads: 0,
        likes: 0,
        lastModified: "2026-01-01T00:00:00.000Z",
        siblings,
        tags: [],
      });
    }
    if (api) return sendTree(response, url, files, inside);
    if (model.gated && token === undefined)
      return refuse(
        response,
        401,
        "GatedRepo",
        `Access to model ${id} is restricted. You must have access to it and be authenticated to access it.`,
      );
    const bytes = files[inside];
    if (!bytes) return refuse(response, 404, "EntryNotFound", "Entry not found");
    const etag = etagOf(inside, bytes);
    const known = { "x-repo-commit": commit, etag: `"${etag}"` };
    if (!isLarge(inside)) {
      if (file?.[1]) return sendFile(at, response, inside, bytes, known);
      const linked = { "x-linked-etag": `"${etag}"`, "x-linked-size": `${bytes.length}` };
      return response
        .writeHead(307, { ...known, ...linked, location: `/api/resolve-cache/models/${id}/${commit}/${encodeURIComponent(inside)}` })
        .end();
    }
    blobs.set(etag, { path: inside, bytes });
    const linked = { "x-linked-etag": `"${etag}"`, "x-linked-size": `${bytes.length}` };
    return response.writeHead(302, { ...known, ...linked, location: `${cdnUrl}/${etag}` }).end();
  });

  /** One page of a folder, the whole below it where that is asked for. */
  const sendTree = (response: ServerResponse, url: URL, files: Files, folder: string): void => {
    const recursive = url.searchParams.get("recursive") === "true";
    const under = folder === "" ? "" : `${folder}/`;
    const entries = new Map<string, object>();
    for (const [path, bytes] of Object.entries(files)) {
      if (!path.startsWith(under)) continue;
      const cut = path.indexOf("/", under.length);
      if (cut >= 0) entries.set(path.slice(0, cut), { type: "directory", oid: sha1(new Uint8Array()), size: 0, path: path.slice(0, cut) });
      if (cut >= 0 && !recursive) continue;
      const lfs = isLarge(path) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : {};
      // The oid of a large file is that of the pointer that git holds.
      entries.set(path, { type: "file", oid: sha1(isLarge(path) ? bytes.subarray(0, 1) : bytes), size: bytes.length, path, ...lfs });
    }
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const next = new URL(url);
    next.searchParams.set("cursor", `${from + PAGE}`);
    json(response, [...entries.values()].slice(from, from + PAGE), from + PAGE < entries.size ? { link: `<${next}>; rel="next"` } : {});
  };

  const hub: FakeHub = {
    url: "",
    models,
    asked,
    tokens: new Set(["hf_good", "other_good"]),
    fault: () => false,
    busy: 0,
    ignoresRanges: false,
    close: async () => {
      await Promise.all([shut(server), shut(cdn)]);
    },
  };
  (hub as { url: string }).url = await listen(server);
  return hub;
}
