/**
 * Load a model from storage of your own. A `ByteStore` lists files and opens them; a `ByteSource` fills a range. This
 * one reads over HTTP with Range requests, from a server that the example starts itself, and counts what was fetched.
 *
 *     node dist/docs/examples/own-byte-store.js
 */
import { open, readdir, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ByteStore, embeddedModel, GureumError, loadModel } from "gureum";

const folder = embeddedModel();
const names = await readdir(folder);
const server = createServer(async (request, response) => {
  const path = `${folder}/${decodeURIComponent(request.url!.slice(1))}`;
  const { size } = await stat(path);
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (request.method === "HEAD" || !range) return response.writeHead(200, { "content-length": size }).end();
  const [from, to] = [Number(range[1]), Number(range[2])];
  const file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(to - from + 1), 0, to - from + 1, from);
  await file.close();
  response.writeHead(206, { "content-length": buffer.length }).end(buffer);
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

let requests = 0;
let bytes = 0;
const store: ByteStore = {
  name: origin,
  list: async () => names,
  async open(fileName) {
    const url = `${origin}/${encodeURIComponent(fileName)}`;
    const head = await fetch(url, { method: "HEAD" });
    if (!head.ok) throw new GureumError("not-found", { where: url, what: `HTTP ${head.status}` });
    return {
      name: url,
      byteLength: Number(head.headers.get("content-length")),
      async readInto(byteOffset, target) {
        if (target.length === 0) return;
        const range = `bytes=${byteOffset}-${byteOffset + target.length - 1}`;
        const response = await fetch(url, { headers: { range } });
        const got = new Uint8Array(await response.arrayBuffer());
        // Anything but the whole range is an error: a short read must never look like weights.
        if (response.status !== 206 || got.length !== target.length)
          throw new GureumError("io", {
            where: url,
            what: `HTTP ${response.status}`,
            expected: `${target.length} bytes`,
            got: `${got.length}`,
          });
        target.set(got);
        requests++;
        bytes += got.length;
      },
      async close() {},
    };
  },
};

const model = await loadModel(store, { backend: "cpu" });
const { logits } = await model.forward([1, 2, 3]);
console.log(`${requests > 0 && bytes > 5_000_000 ? "fetched by ranges" : "not fetched"}; ${logits.length} logits`);
model.dispose();
server.close();
server.closeAllConnections();
