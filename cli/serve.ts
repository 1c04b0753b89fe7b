/**
 * Folders served on this machine's loopback address, for the page: types, byte ranges, and the headers that isolate it (threads need
 * them) and hold it to its policy. Nothing is written, and nothing outside the folders is read.
 */
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, sep } from "node:path";
import { GureumError } from "../core/errors.ts";

/** What is served. */
export interface Served {
  /** Folder by the path it is served under: "/" and those below it, each ending in "/". */
  readonly folders: Readonly<Record<string, string>>;
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** 0: any that is free. */
  readonly port: number;
}

/** A server that runs. */
export interface Server {
  readonly url: string;
  close(): Promise<void>;
}

/** Of the files that pages and models have; what is not here is bytes. */
const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".md": "text/plain; charset=utf-8",
};

/** The first and last byte that a `Range` header asks for; null for all, "wrong" for none that are there (RFC 9110, 14.1.2). */
export function rangeOf(header: string | undefined, byteLength: number): readonly [first: number, last: number] | null | "wrong" {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return null;
  const [from, to] = [match[1]!, match[2]!];
  const first = from === "" ? Math.max(0, byteLength - Number(to)) : Number(from);
  const last = from === "" || to === "" ? byteLength - 1 : Math.min(Number(to), byteLength - 1);
  return first <= last ? [first, last] : "wrong";
}

/** The file that an address means; undefined where there is none. */
async function fileOf(folders: Served["folders"], address: string): Promise<string | undefined> {
  let path: string;
  try {
    path = decodeURIComponent(new URL(address, "http://localhost").pathname);
  } catch {
    return undefined;
  }
  if (path.includes("\0")) return undefined;
  const under = Object.keys(folders)
    .filter((prefix) => path.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0];
  if (under === undefined) return undefined;
  const rest = path.slice(under.length);
  try {
    const folder = await realpath(folders[under]!);
    const file = await realpath(join(folder, rest === "" || rest.endsWith("/") ? `${rest}index.html` : rest));
    return file.startsWith(folder + sep) && (await stat(file)).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}

async function answer({ folders, headers }: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const end = (status: number, more: Record<string, string | number> = {}): void => {
    response.writeHead(status, { ...headers, ...more });
    response.end();
  };
  // A page of another name that resolves to this machine must not read what lies here.
  if (!/^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(request.headers.host ?? "")) return end(421);
  if (request.method !== "GET" && request.method !== "HEAD") return end(405, { allow: "GET, HEAD" });
  const file = await fileOf(folders, request.url ?? "/");
  if (file === undefined) return end(404);
  const { size, mtimeMs } = await stat(file);
  const about = {
    "content-type": types[extname(file)] ?? "application/octet-stream",
    "accept-ranges": "bytes",
    "cache-control": "no-cache",
    etag: `"${size.toString(16)}-${Math.round(mtimeMs).toString(16)}"`,
  };
  if (request.headers["if-none-match"] === about.etag) return end(304, { etag: about.etag });
  const range = rangeOf(request.headers.range, size);
  if (range === "wrong") return end(416, { ...about, "content-range": `bytes */${size}` });
  const [first, last] = range ?? [0, size - 1];
  const length = { "content-length": last - first + 1 };
  if (request.method === "HEAD" || size === 0) return end(200, { ...about, "content-length": size });
  response.writeHead(range ? 206 : 200, {
    ...headers,
    ...about,
    ...length,
    ...(range ? { "content-range": `bytes ${first}-${last}/${size}` } : {}),
  });
  const stream = createReadStream(file, { start: first, end: last });
  stream.on("error", () => response.destroy());
  response.on("close", () => stream.destroy());
  stream.pipe(response);
}

/** Begins to serve. @throws GureumError "io" where the port is taken */
export async function serve(served: Served): Promise<Server> {
  const server = createServer((request, response) => {
    answer(served, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((done, fail) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      fail(
        new GureumError(
          "io",
          {
            where: `port ${served.port}`,
            what: "cannot be listened on",
            got: cause.code ?? cause.message,
            remedy: "give another one with --port",
          },
          cause,
        ),
      ),
    );
    server.listen(served.port, "127.0.0.1", done);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
