#!/usr/bin/env node
/** The `gureum` command: finds the room that the first word names, runs it, turns what it throws into one line and an exit code. */
import process from "node:process";
import { bench } from "./cli/bench.ts";
import { chat } from "./cli/chat.ts";
import { generate } from "./cli/generate.ts";
import { inspect } from "./cli/inspect.ts";
import { logits } from "./cli/logits.ts";
import { render } from "./cli/render.ts";
import { synth } from "./cli/synth.ts";
import { note, outputError, printLine } from "./cli/terminal.ts";
import { tokenize } from "./cli/tokenize.ts";
import type { Command } from "./cli/words.ts";
import { GureumError } from "./core/errors.ts";

const commands: readonly Command[] = [chat, generate, tokenize, render, inspect, logits, synth, bench];

const help = `gureum (구름): AWQ int4 Llama models in TypeScript, on the CPU and on WebGPU

usage: gureum COMMAND [words]

${commands.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`).join("\n")}

gureum COMMAND --help says more. Exit code 0: done, 1: failed, 2: wrong usage.`;

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    await printLine(help);
    return name === undefined ? 2 : 0;
  }
  const command = commands.find((c) => c.name === name);
  if (!command)
    throw new GureumError("usage", {
      where: "gureum",
      what: `no such command: ${name}`,
      remedy: `commands are ${commands.map((c) => c.name).join(", ")}`,
    });
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).includes("--help")) {
    await printLine(command.help);
    return 0;
  }
  return command.run(rest);
}

function fail(error: unknown): number {
  if (error instanceof GureumError) {
    note(`gureum: ${error.message}`);
    return error.code === "usage" ? 2 : 1;
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  note(`gureum: ${text.split("\n")[0]} — this is a bug in gureum; please report the command that led to it`);
  return 1;
}

process.stdout.on("error", (error) => process.exit(fail(outputError(error))));
process.exitCode = await main(process.argv.slice(2)).catch(fail);
