/** The host under Node, Deno and Bun. */
import process from "node:process";
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { embeddedModelPath } from "../core/host/embedded.ts";
import * as folders from "../core/host/folders.ts";
import * as reading from "../core/host/node.ts";
import { nodeThreads } from "../core/host/node-threads.ts";
import * as writing from "../core/host/write.ts";
import { type HubOptions, modelFolder, modelStore } from "../hub/model.ts";
import { type ModelName, parseModelName } from "../hub/name.ts";
import { forkProcess } from "./fork.ts";
import type { FindOptions, Host } from "./host.ts";
import { machine } from "./machine.ts";

/** The name that a place is; null for a path, also one that reads like a name. @throws GureumError "usage" */
async function nameOf(place: string): Promise<ModelName | null> {
  const name = parseModelName(place);
  return name && !(await reading.exists(place)) ? name : null;
}

async function find(place: string, { part = "all", ...options }: FindOptions = {}): Promise<string> {
  const name = await nameOf(place);
  return name ? modelFolder(name, part, options) : place;
}

async function view(place: string, options: HubOptions = {}): Promise<ByteStore> {
  const name = await nameOf(place);
  return name ? modelStore(name, options) : reading.directoryStore(place);
}

export const host: Host = {
  files: { ...reading, ...writing, ...folders },
  models: {
    embedded: embeddedModelPath,
    find,
    open: async (place, options) => reading.directoryStore(await find(place, options)),
    view,
  },
  threads: nodeThreads,
  fork: forkProcess,
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e3;
  },
  memory: () => process.memoryUsage(),
  machine,
};
