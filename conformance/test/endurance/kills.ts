/**
 * Ends every command that writes by force, again and again at random moments, and looks at what lies there:
 * `node dist/conformance/test/endurance/kills.js [KILLS] [SEED] [COMMAND]`. What stands under a final name is whole; the same command given again comes to its
 * end, and names what the killed one left. Quantizing has its own (test/quantize/kills.ts). A few of these kills run with the tests.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { embeddedModel } from "../../../index.ts";
import { numbers } from "../fixtures/random-model.ts";
import { fakeHub } from "../hub/fake-hub.ts";

const cli = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../../../dist/cli.js" : "../../../cli.js", import.meta.url));

/** A command, given in a folder of its own. */
interface Task {
  readonly words: readonly string[];
  readonly stdin?: string;
  /** What is read from stdin counts as typed. */
  readonly isTyped?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether what stands under a final name is whole: the bytes of an undisturbed run, or the form of it where times differ. */
  whole(path: string, text: string, reference: string | undefined): boolean;
  /** Names that are not final. */
  readonly aside: RegExp;
  /** What of an unfinished run may be in the way of the next, which then says so and is removed by hand. */
  readonly inTheWay?: string;
  /** Given before the first run. */
  prepare?(folder: string): void;
}

export interface KillCounts {
  readonly kills: number;
  /** By command: kills, and after how many of them unfinished files lay there that the next run named, or went on with. */
  readonly by: Readonly<Record<string, { kills: number; left: number; named: number }>>;
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};
const same = (_path: string, text: string, reference: string | undefined): boolean => text === reference;
/** Lines, of which the last may be cut off. */
const lines = (_path: string, text: string): boolean =>
  text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .slice(0, -1)
    .every(isJson);
const page = (path: string, text: string): boolean => (path.endsWith(".html") ? text.trimEnd().endsWith("</html>") : isJson(text));
const parts = /^\..*\.part$/;

function tasks(hub: string): Readonly<Record<string, Task>> {
  const cpu = ["--backend", "cpu"];
  const short = [...cpu, "--max-new-tokens", "4"];
  const prompts = Array.from({ length: 6 }, (_, i) => JSON.stringify({ prompt: `구름 ${i}`, id: i }));
  return {
    synth: { words: ["synth", "--shape", "tiny", "out"], whole: same, aside: parts },
    convert: {
      words: ["convert", embeddedModel(), "out", "--to", "gptq"],
      whole: same,
      aside: /^out\.part$|^\..*\.part$/,
      inTheWay: "out.part",
    },
    receipt: { words: ["generate", "구름", ...short, "--arithmetic", "exact", "--receipt", "r.json"], whole: same, aside: parts },
    logits: { words: ["logits", "--text", "구름", ...cpu, "--out", "l.safetensors"], whole: same, aside: parts },
    jsonl: {
      words: ["generate", "--jsonl", "in.jsonl", ...short, "--out", "o.jsonl", "--resume", "--batch", "1"],
      whole: lines,
      aside: parts,
      prepare: (folder) => writeFileSync(join(folder, "in.jsonl"), `${prompts.join("\n")}\n`),
    },
    conformance: {
      words: ["conformance", ...cpu, "--filter", "add", "--runs", "20", "--out", "rows.jsonl", "--report", "report"],
      whole: (path, text) => (path.endsWith(".jsonl") ? lines(path, text) : page(path, text)),
      aside: parts,
    },
    bench: {
      words: ["bench", "kernels", ...cpu, "--shape", "tiny", "--rows", "1", "--filter", "rms*", "--json", "b.json", "--html", "b.html"],
      whole: page,
      aside: parts,
    },
    perplexity: {
      words: ["perplexity", "--text", "in.txt", "--a", "cpu", "--b", "cpu:exact", "--html", "p.html"],
      whole: page,
      aside: parts,
      prepare: (folder) => writeFileSync(join(folder, "in.txt"), "구름이 흐른다"),
    },
    history: {
      words: ["chat", ...short],
      stdin: "구름\n",
      isTyped: true,
      env: { XDG_STATE_HOME: "state" },
      // All that was there, or the newest thousand, and the message of the killed run and of the next.
      whole: (_path, text) => text.endsWith("\n") && [1000, 1001, 1002, 5000].includes(text.split("\n").filter(Boolean).length),
      aside: parts,
      prepare(folder) {
        mkdirSync(join(folder, "state/gureum"), { recursive: true });
        const old = Array.from({ length: 5000 }, (_, i) => `a line of an earlier conversation ${i}`);
        writeFileSync(join(folder, "state/gureum/history"), `${old.join("\n")}\n`);
      },
    },
    download: {
      words: ["tokenize", "구름", "--model", "someone/tiny"],
      env: { HF_HOME: "hf", HF_ENDPOINT: hub },
      whole: (path, text, reference) => /refs|snapshots|blobs/.test(path) === false || reference === undefined || text === reference,
      aside: /\.(incomplete|lock)$|\.\d+$/,
    },
  };
}

function run(task: Task, cwd: string, ms?: number): Promise<{ code: number | null; err: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...task.env, ...(task.env?.HF_HOME ? { HF_HOME: join(cwd, "hf") } : {}) };
    if (task.env?.XDG_STATE_HOME) Object.assign(env, { XDG_STATE_HOME: join(cwd, "state") });
    const typed = task.isTyped ? ["--import", "data:text/javascript,Object.assign(process.stdin,{isTTY:true,setRawMode(){}})"] : [];
    const child = spawn(process.execPath, [...typed, cli, ...task.words], { cwd, env, stdio: ["pipe", "ignore", "pipe"] });
    let err = "";
    child.stderr.on("data", (part) => (err += part));
    child.stdin.on("error", () => {});
    child.stdin.end(task.stdin ?? "");
    const timer = ms === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), ms);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code: signal === "SIGKILL" ? null : code, err });
    });
  });
}

/** Files of a folder by their paths. */
const filesIn = (folder: string): Map<string, string> =>
  new Map(
    (readdirSync(folder, { recursive: true }) as string[])
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name) => [name, readFileSync(join(folder, name), "latin1")]),
  );
const isAside = (task: Task, path: string): boolean => path.split("/").some((name) => task.aside.test(name));

/** @throws Error where a kill left something half-written under a final name, or the command given again does not end well */
export async function killCommands(
  wanted: number,
  seed: number,
  only?: string,
  onKill: (counts: KillCounts) => void = () => {},
): Promise<KillCounts> {
  const next = numbers(seed);
  const place = mkdtempSync(join(tmpdir(), "gureum-kills-"));
  const model = Object.fromEntries(
    readdirSync(embeddedModel()).map((name) => [name, new Uint8Array(readFileSync(join(embeddedModel(), name)))]),
  );
  const hub = await fakeHub({ "someone/tiny": { commits: { ["c".repeat(40)]: model }, refs: { main: "c".repeat(40) } } });
  const by: Record<string, { kills: number; left: number; named: number }> = {};
  const counts = (): KillCounts => ({ kills: Object.values(by).reduce((sum, { kills }) => sum + kills, 0), by });
  try {
    const all = Object.entries(tasks(hub.url)).filter(([name]) => only === undefined || name === only);
    const known = new Map<string, { usual: number; reference: Map<string, string> }>();
    for (let kills = 0; kills < wanted; ) {
      const [name, task] = all[kills % all.length]!;
      by[name] ??= { kills: 0, left: 0, named: 0 };
      const count = by[name];
      const fail = (what: string): never => {
        throw new Error(`${name}, kill ${kills}, seed ${seed}: ${what}`);
      };
      const fresh = (folder: string): string => {
        rmSync(join(place, folder), { recursive: true, force: true });
        mkdirSync(join(place, folder));
        task.prepare?.(join(place, folder));
        return join(place, folder);
      };
      if (!known.has(name)) {
        const folder = fresh("reference");
        const started = performance.now();
        const { code, err } = await run(task, folder);
        if (code !== 0) fail(`undisturbed: exit code ${code}: ${err}`);
        known.set(name, { usual: performance.now() - started, reference: filesIn(folder) });
      }
      const { usual, reference } = known.get(name)!;
      const folder = fresh("killed");
      const given = filesIn(folder);
      const { code } = await run(task, folder, usual * (0.2 + 0.9 * ((next() + 1) / 2)));
      if (code !== null) {
        // It was faster than the blow: the next moment.
        known.set(name, { usual: 0.9 * usual, reference });
        continue;
      }
      kills++;
      count.kills++;
      const after = filesIn(folder);
      for (const [path, text] of after)
        if (!isAside(task, path) && text !== given.get(path) && !task.whole(path, text, reference.get(path)))
          fail(`${path} is half-written: ${text.length} bytes of ${reference.get(path)?.length}`);
      const left = [...after.keys()].filter((path) => isAside(task, path));
      let again = await run(task, folder);
      const names = (text: string): boolean =>
        left.some((path) => path.split("/").some((part) => task.aside.test(part) && text.includes(part)));
      let named = left.length > 0 && names(again.err);
      const isDone = after.size === reference.size && left.length === 0;
      if (again.code !== 0 && task.inTheWay !== undefined && existsSync(join(folder, task.inTheWay))) {
        rmSync(join(folder, task.inTheWay), { recursive: true });
        again = await run(task, folder);
      } else if (again.code !== 0 && isDone && /not empty/.test(again.err)) again = { code: 0, err: "" };
      if (again.code !== 0) fail(`given again: exit code ${again.code}: ${again.err}`);
      const end = filesIn(folder);
      for (const [path, text] of reference) {
        if (isAside(task, path) || end.get(path) === given.get(path)) continue;
        const now = end.get(path);
        if (now === undefined || !task.whole(path, now, text))
          fail(`given again: ${path} is ${now === undefined ? "missing" : "not whole"}`);
      }
      // What the next run used up needs no name.
      named ||= left.length > 0 && left.every((path) => !end.has(path));
      if (left.length > 0) {
        count.left++;
        if (named) count.named++;
        else fail(`${left.join(", ")} lay there and nobody said so: ${again.err}`);
      }
      onKill(counts());
    }
    return counts();
  } finally {
    await hub.close();
    rmSync(place, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [kills = "200", seed = "1", only] = process.argv.slice(2);
  const tell = (counts: KillCounts): void => console.error(JSON.stringify(counts));
  console.log(JSON.stringify(await killCommands(Number(kills), Number(seed), only, tell)));
}
