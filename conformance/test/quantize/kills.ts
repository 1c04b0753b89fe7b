/**
 * Kills `gureum quantize` again and again at random moments and lets it go on:
 * `node dist/conformance/test/quantize/kills.js [KILLS] [SEED]`. After every kill the result's folder is absent or whole;
 * every run that reaches its end has the bytes of an undisturbed one. A few of these kills run with the tests.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { smallTexts, writeFloat } from "../core/quant/float-checkpoint.ts";
import { numbers } from "../fixtures/random-model.ts";

const cli = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../../../dist/cli.js" : "../../../cli.js", import.meta.url));

export interface Kills {
  readonly kills: number;
  /** Runs that came to their end and were compared. */
  readonly completed: number;
  /** By what lay there after a kill: how often. */
  readonly found: Readonly<Record<string, number>>;
}

const filesOf = (folder: string): Map<string, string> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString("base64")]));

/** Runs the command; ended by force after `ms`. @returns its exit code, null where it was killed */
function run(args: readonly string[], ms?: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    let err = "";
    child.stderr.on("data", (part) => (err += part));
    const timer = ms === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), ms);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") resolve(null);
      else if (code === 0) resolve(0);
      else reject(new Error(`exit code ${code}: ${err}`));
    });
  });
}

/** @throws Error where a kill left a part of a result, or a run that went on ended in other bytes */
export async function killQuantize(wanted: number, seed: number, layers = 4): Promise<Kills> {
  const next = numbers(seed);
  const place = mkdtempSync(join(tmpdir(), "gureum-kills-"));
  try {
    const [source, target, reference] = ["source", "target", "reference"].map((name) => join(place, name)) as [string, string, string];
    mkdirSync(source);
    for (const [name, bytes] of await writeFloat({ family: "llama", layers })) writeFileSync(join(source, name), bytes);
    writeFileSync(join(place, "ids.json"), JSON.stringify(smallTexts()));
    const words = (to: string): string[] => [
      "quantize",
      source,
      to,
      "--method",
      "best",
      "--set",
      "modelSteps=0",
      "--group-size",
      "16",
      "--calibration",
      join(place, "ids.json"),
    ];
    const started = performance.now();
    await run(words(reference));
    const usual = performance.now() - started;
    const expected = filesOf(reference);
    const same = (): boolean => {
      const files = filesOf(target);
      return files.size === expected.size && [...files].every(([name, bytes]) => expected.get(name) === bytes);
    };
    const found: Record<string, number> = {};
    let kills = 0;
    let completed = 0;
    while (kills < wanted) {
      const code = await run(words(target), 1.1 * usual * ((next() + 1) / 2));
      if (code === null) {
        kills++;
        const unfinished = existsSync(`${target}.unfinished`);
        const done = unfinished ? readdirSync(`${target}.unfinished`).filter((name) => /^layer-\d+\.safetensors$/.test(name)).length : 0;
        const what = existsSync(target) ? "the result" : unfinished ? `${done} of ${layers} layers` : "nothing";
        found[what] = (found[what] ?? 0) + 1;
        if (existsSync(target) && !same()) throw new Error(`kill ${kills} (seed ${seed}) left a result that is not whole`);
        // Long runs of kills would otherwise always meet a finished search; a kill behind the last step left nothing to go on with.
        if (done < layers && !existsSync(target)) continue;
      }
      if (code === null)
        await run(words(target)).catch((error: Error) => {
          if (!existsSync(target) || !/the folder is not empty/.test(error.message)) throw error;
        });
      if (!same()) throw new Error(`a run that went on after kill ${kills} (seed ${seed}) ended in other bytes`);
      if (existsSync(`${target}.unfinished`)) throw new Error("a finished run left its working folder");
      completed++;
      rmSync(target, { recursive: true });
    }
    return { kills, completed, found };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [kills = "200", seed = "1"] = process.argv.slice(2);
  console.log(JSON.stringify(await killQuantize(Number(kills), Number(seed))));
}
