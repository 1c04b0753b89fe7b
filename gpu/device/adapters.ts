/**
 * The adapters of this machine, to choose one by name or by its place in the list. WebGPU itself lists none: Dawn's binding tells them when it
 * is asked for one that there is not, other hosts show those that they prefer for speed, for power and in software.
 */

import { DRIVER, openDawn } from "#dawn";
import { GureumError } from "../../core/errors.ts";

export interface AdapterName {
  /** As the driver calls it. */
  readonly name: string;
  /** "vulkan", "metal", "d3d12", …; null where the host does not tell. */
  readonly backend: string | null;
}

/** A name that no adapter has. */
const NOBODY = "no adapter is called so";

/** What Dawn's message lists: " * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'" */
export const parseAdapters = (message: string): AdapterName[] =>
  [...message.matchAll(/^ \* backend: '([^']*)', name: '(.*)'\s*$/gm)].map(([, backend, name]) => ({ backend: backend!, name: name! }));

/** A host's own adapter by what it says of itself. */
export const nameOf = (info: GPUAdapterInfo): string =>
  info.description || info.device || [info.vendor, info.architecture].filter(Boolean).join(" ") || "unnamed";

/** Each way to ask WebGPU for an adapter. */
const wishes: readonly GPURequestAdapterOptions[] = [
  { powerPreference: "high-performance" },
  { powerPreference: "low-power" },
  { forceFallbackAdapter: true },
];

/** The adapters that a host offers, with how to ask for each. */
export async function hostAdapters(host: GPU): Promise<(AdapterName & { readonly wish: GPURequestAdapterOptions })[]> {
  const found: (AdapterName & { wish: GPURequestAdapterOptions })[] = [];
  for (const wish of wishes) {
    const adapter = await host.requestAdapter(wish).catch(() => null);
    if (adapter && !found.some(({ name }) => name === nameOf(adapter.info)))
      found.push({ name: nameOf(adapter.info), backend: null, wish });
  }
  return found;
}

/**
 * Dawn's adapters, those it would take first before the others.
 * @throws GureumError "no-adapter" where the package does not load
 */
export async function dawnAdapters(): Promise<AdapterName[]> {
  const instance = await openDawn({ adapter: NOBODY });
  try {
    await instance.requestAdapter();
    return [];
  } catch (error) {
    return parseAdapters(error instanceof Error ? error.message : String(error));
  }
}

/** What an adapter that is chosen ends in where all is computed on the CPU; `instead`: what to do to compute on it. */
export const adapterOfCpu = (where: string, instead: string): GureumError =>
  new GureumError("usage", { where, what: "an adapter is one of WebGPU's", remedy: `leave it out, or ${instead}` });

/** The list as part of a message. */
const listed = (adapters: readonly AdapterName[]): string =>
  adapters.map(({ name, backend }, i) => `${i}: ${name}${backend === null ? "" : ` (${backend})`}`).join("; ") || "none";

/**
 * The place in the list of the adapter that is meant: by a whole number, by its name, or by a part of it that no other name has. Letters'
 * case does not matter. Of one name on several backends it is the first.
 * @throws GureumError "no-adapter" with the list
 */
export function chooseAdapter(adapters: readonly AdapterName[], wanted: string | number): number {
  const refuse = (what: string): GureumError =>
    new GureumError("no-adapter", {
      where: "adapter",
      what,
      expected: `one of ${listed(adapters)}`,
      got: JSON.stringify(wanted),
      remedy: adapters.length > 0 ? "give a name or a number of these, or use the CPU backend" : DRIVER,
    });
  if (typeof wanted === "number" || /^\d+$/.test(wanted)) {
    if (!adapters[Number(wanted)]) throw refuse("no adapter has this number");
    return Number(wanted);
  }
  const lower = wanted.trim().toLowerCase();
  if (lower === "") throw refuse("the name is empty");
  const exact = adapters.findIndex(({ name }) => name.toLowerCase() === lower);
  if (exact >= 0) return exact;
  const matches = adapters.filter(({ name }) => name.toLowerCase().includes(lower));
  if (matches.length === 0) throw refuse("no adapter has this in its name");
  if (new Set(matches.map(({ name }) => name)).size > 1) throw refuse("several adapters have this in their names");
  return adapters.indexOf(matches[0]!);
}

/**
 * What Dawn must be told to take the adapter at this place: it takes the first whose name holds a text, on a backend.
 * @throws GureumError "no-adapter" where it would take another
 */
export function dawnChoice(adapters: readonly AdapterName[], index: number): AdapterName {
  const wanted = adapters[index]!;
  const taken = adapters.findIndex(({ name, backend }) => backend === wanted.backend && name.includes(wanted.name));
  if (taken !== index)
    throw new GureumError("no-adapter", {
      where: "adapter",
      what: `number ${index} cannot be told from number ${taken}: Dawn chooses by name`,
      got: `${wanted.name} and ${adapters[taken]!.name}`,
      remedy: "hide the other from the driver (MESA_VK_DEVICE_SELECT, or the vendor's own variable)",
    });
  return wanted;
}
