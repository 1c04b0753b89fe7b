/**
 * A server of files from memory: ranges, ETags and conditions by RFC 9110, CORS where asked. Its faults are set by the test.
 */
import { createHash } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FileServer {
  readonly url: string;
  /** By path, "folder/file". */
  readonly files: Map<string, Uint8Array>;
  readonly asked: { readonly method: string; readonly path: string; readonly range: string | null; readonly condition: string | null }[];
  /** Whether ranges are given. */
  ranges: boolean;
  /** What tells one state of a file from another. */
  version: "etag" | "date" | "none";
  /** Headers of every answer: CORS, isolation. */
  headers: Record<string, string>;
  /** What is done instead of sending bytes of a file; true where it was. */
  fault: (path: string, response: ServerResponse, body: Uint8Array) => boolean;
  /** What is sent for a file that is not there. */
  missing: (response: ServerResponse) => void;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = { html: "text/html", js: "text/javascript", json: "application/json", css: "text/css" };

/** A strong validator of the bytes. */
const etagOf = (bytes: Uint8Array): string => `"${createHash("sha1").update(bytes).digest("hex")}"`;

export async function fileServer(files: ReadonlyMap<string, Uint8Array>): Promise<FileServer> {
  const etags = new WeakMap<Uint8Array, string>();
  const server = createServer(({ method = "GET", url = "/", headers }, response) => {
    const path = decodeURIComponent(new URL(url, "http://x").pathname.slice(1));
    const range = headers.range ?? null;
    const condition = (headers["if-range"] as string | undefined) ?? null;
    self.asked.push({ method, path, range, condition });
    for (const [name, value] of Object.entries(self.headers)) response.setHeader(name, value);
    if (method === "OPTIONS") return void response.writeHead(204).end();
    const bytes = self.files.get(path) ?? self.files.get(`${path}index.html`);
    if (!bytes) return self.missing(response);
    if (!etags.has(bytes)) etags.set(bytes, etagOf(bytes));
    const etag = etags.get(bytes)!;
    if (self.version === "etag") response.setHeader("etag", etag);
    if (self.version === "date") response.setHeader("last-modified", new Date(1e12 + bytes.length * 1000).toUTCString());
    response.setHeader(
      "content-type",
      types[path.slice(path.lastIndexOf(".") + 1)] ?? (path.endsWith("/") || path === "" ? "text/html" : "application/octet-stream"),
    );
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    const inParts = self.ranges && first !== undefined && (condition === null || condition === etag);
    const from = inParts ? Number(first) : 0;
    if (inParts && from >= bytes.length) return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    const end = inParts && last ? Math.min(bytes.length, Number(last) + 1) : bytes.length;
    const body = bytes.subarray(from, end);
    if (inParts) response.setHeader("content-range", `bytes ${from}-${end - 1}/${bytes.length}`);
    response.setHeader("content-length", `${body.length}`);
    response.statusCode = inParts ? 206 : 200;
    if (method === "HEAD") return void response.end();
    if (!self.fault(path, response, body)) response.end(body);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const self: FileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files: new Map(files),
    asked: [],
    ranges: true,
    version: "etag",
    headers: {},
    fault: () => false,
    missing: (response) => void response.writeHead(404).end(),
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  return self;
}
