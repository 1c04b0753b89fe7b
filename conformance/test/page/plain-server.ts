/** A server before the page's own that knows no byte ranges, as some do, or that only writes down which were asked for. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Server } from "../../../cli/serve.ts";

export interface Noted extends Server {
  /** What was asked for: address and range. */
  readonly asked: { readonly path: string; readonly range: string | undefined }[];
}

/** @param ranges whether they are passed on */
export async function inFront(server: Server, ranges: boolean): Promise<Noted> {
  const asked: { path: string; range: string | undefined }[] = [];
  const own = createServer(async (request, response) => {
    const path = request.url ?? "/";
    const { range } = request.headers;
    const answer = await fetch(new URL(path, server.url), {
      method: request.method ?? "GET",
      headers: ranges && range ? { range } : {},
    });
    const kept = [...answer.headers].filter(([name]) => ranges || (name !== "accept-ranges" && name !== "content-range"));
    response.writeHead(answer.status, Object.fromEntries(kept));
    const body = new Uint8Array(await answer.arrayBuffer());
    asked.push({ path, range });
    response.end(body);
  });
  await new Promise<void>((done) => own.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(own.address() as AddressInfo).port}/`,
    asked,
    close: () =>
      new Promise((done) => {
        own.close(() => done());
        own.closeAllConnections();
      }),
  };
}
