/** Where and when something was run: for certificates and for benchmark results, in Node, Deno, Bun and browsers. */
import { host as own } from "#host";
import { VERSION } from "../../core/version.ts";

/** What the hosts' global objects say of themselves. */
export interface Globals {
  readonly Deno?: {
    readonly version: { readonly deno: string; readonly v8: string };
    readonly build: { readonly os: string; readonly arch: string };
  };
  readonly process?: { readonly versions: Readonly<Record<string, string | undefined>>; readonly platform: string; readonly arch: string };
  readonly navigator?: { readonly userAgent?: string; readonly platform?: string };
}
const host = globalThis as Globals;

/**
 * Browsers by the word of their user agent; the more special ones first, since each also calls itself what it descends
 * from.
 */
const browsers: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["Edge", /\bEdg(?:A|iOS)?\/([\d.]+)/],
  ["Opera", /\bOPR\/([\d.]+)/],
  ["Firefox", /\b(?:Firefox|FxiOS)\/([\d.]+)/],
  ["Chrome", /\b(?:HeadlessChrome|Chrome|CriOS)\/([\d.]+)/],
  ["Safari", /\bVersion\/([\d.]+).*\bSafari\//],
];

/** "Node 20.20.0", "Deno 2.9.6", "Chrome 142.0.0.0"; a browser unknown here by its whole user agent. */
export function runtimeOf({ Deno, process, navigator }: Globals): string {
  if (Deno) return `Deno ${Deno.version.deno}`;
  const { bun, node } = process?.versions ?? {};
  if (bun) return `Bun ${bun}`;
  if (node) return `Node ${node}`;
  const agent = navigator?.userAgent ?? "";
  for (const [name, pattern] of browsers) {
    const version = pattern.exec(agent)?.[1];
    if (version !== undefined) return `${name} ${version}`;
  }
  return agent === "" ? "unknown" : agent;
}

export const runtime = (): string => runtimeOf(host);

/** The engine of the language, as far as the host says: "V8 13.0". */
export const scriptEngine = ({ Deno, process }: Globals = host): string => {
  const v8 = Deno?.version.v8 ?? process?.versions.v8;
  return v8 === undefined ? runtime() : `V8 ${v8}`;
};

/** "linux x64"; in a browser what it says of its platform. */
const systemOf = ({ Deno, process, navigator }: Globals): string => {
  if (Deno) return `${Deno.build.os} ${Deno.build.arch}`;
  if (process?.versions.node) return `${process.platform} ${process.arch}`;
  return navigator?.platform || "unknown";
};

export interface Environment {
  /** Version of this package. */
  readonly version: string;
  /** Of the checkout that ran, "-dirty" behind it where files differed; null for an installed package. */
  readonly commit: string | null;
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly runtime: string;
  /** Operating system, its release and the architecture, as far as the host says. */
  readonly platform: string;
  readonly cpu: string;
}

export async function environment(globals: Globals = host): Promise<Environment> {
  const { version, date, runtime, platform } = {
    version: VERSION,
    date: new Date().toISOString(),
    runtime: runtimeOf(globals),
    platform: systemOf(globals),
  };
  const machine = globals.Deno || globals.process?.versions.node ? own.machine : null;
  if (!machine) return { version, commit: null, date, runtime, platform, cpu: "unknown" };
  const { cpu, release, commit } = await machine();
  return { version, commit, date, runtime, platform: `${platform}, release ${release}`, cpu };
}
