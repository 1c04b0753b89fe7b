#!/usr/bin/env node
/** The `gureum` command: finds the room that the first word names, runs it, turns what it throws into one line and an exit code. */
import process from "node:process";
import type { CommandName } from "./cli/completion.ts";
import { paint } from "./cli/paint.ts";
import { hideBars } from "./cli/progress.ts";
import { lineOf } from "./cli/remedies.ts";
import { isClosedPipe, note, outputError, printLine } from "./cli/terminal.ts";
import { GureumError } from "./core/errors.ts";
import { onLeftParts } from "./core/host/parts.ts";
import { VERSION } from "./core/version.ts";

/** Loaded when called, so that answering a question does not read the benchmark room. */
const commands: readonly CommandName[] = [
  { name: "chat", summary: "answer a question, or hold a conversation", load: async () => (await import("./cli/chat.ts")).chat },
  { name: "generate", summary: "continue a text, without a chat template", load: async () => (await import("./cli/generate.ts")).generate },
  { name: "verify", summary: "check a receipt of generate on this machine", load: async () => (await import("./cli/verify.ts")).verify },
  { name: "tokenize", summary: "text to token ids, and back", load: async () => (await import("./cli/tokenize.ts")).tokenize },
  { name: "render", summary: "chat messages to prompt text or ids", load: async () => (await import("./cli/render.ts")).render },
  {
    name: "inspect",
    summary: "what a model folder or safetensors file holds",
    load: async () => (await import("./cli/inspect.ts")).inspect,
  },
  { name: "logits", summary: "logits and hidden states of a text", load: async () => (await import("./cli/logits.ts")).logits },
  {
    name: "perplexity",
    summary: "how well a model predicts a text, alone or against another",
    load: async () => (await import("./cli/perplexity.ts")).perplexity,
  },
  {
    name: "quantize",
    summary: "a float model to an AWQ int4 one",
    load: async () => (await import("./cli/quantize.ts")).quantize,
  },
  {
    name: "convert",
    summary: "a model in another format",
    load: async () => (await import("./cli/convert.ts")).convert,
  },
  {
    name: "synth",
    summary: "write a checkpoint of a real shape with random weights",
    load: async () => (await import("./cli/synth.ts")).synth,
  },
  { name: "device", summary: "what the WebGPU device is and can do", load: async () => (await import("./cli/device.ts")).device },
  { name: "diff", summary: "find the first step where two backends differ", load: async () => (await import("./cli/diff.ts")).diff },
  {
    name: "conformance",
    summary: "prove a device or a kernel against derived bounds",
    load: async () => (await import("./cli/conformance.ts")).conformance,
  },
  {
    name: "bench",
    summary: "measure the device, the kernels, a model; compare results",
    load: async () => (await import("./cli/bench.ts")).bench,
  },
  { name: "page", summary: "all of this in a browser", load: async () => (await import("./cli/page.ts")).page },
  {
    name: "completion",
    summary: "what makes bash, zsh or fish complete gureum's words",
    load: async () => (await import("./cli/completion.ts")).completionOf(commands),
  },
];

const help = `gureum (구름): AWQ int4 Llama models in TypeScript, on the CPU and on WebGPU

usage: gureum COMMAND [words]

${commands.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`).join("\n")}

gureum COMMAND --help, or -h, says more; gureum --version says which this is. Exit code 0: done, 1: failed, 2: wrong usage.`;

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--version" || name === "-V") {
    await printLine(VERSION);
    return 0;
  }
  if (name === "help" && rest[0] !== undefined) return main([rest[0], "--help"]);
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    await printLine(help);
    return name === undefined ? 2 : 0;
  }
  const known = commands.find((c) => c.name === name);
  if (!known)
    throw new GureumError("usage", {
      what: `no such command: ${JSON.stringify(name)}`,
      remedy: `commands are ${commands.map((c) => c.name).join(", ")}`,
    });
  const command = await known.load();
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((word) => word === "--help" || word === "-h")) {
    await printLine(command.help);
    return 0;
  }
  onLeftParts((folder, parts) => note(`note: ${folder} holds parts of a run that was ended by force: ${parts.join(", ")} — remove them`));
  return command.run(rest);
}

/** Exit code of a program that wrote into a closed pipe: what a shell sees of one that SIGPIPE ended. */
const CLOSED_PIPE = 141;

function fail(error: unknown): number {
  if (isClosedPipe(error)) return CLOSED_PIPE;
  const label = paint("red", "gureum:");
  if (error instanceof GureumError) {
    note(`${label} ${lineOf(error)}`);
    return error.code === "usage" ? 2 : 1;
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  note(`${label} ${text.split("\n")[0]} — this is a bug in gureum; please report the command that led to it`);
  return 1;
}

process.stdout.on("error", (error) => process.exit(fail(outputError(error))));
// What cannot be told is not told: the answer may still have a reader.
process.stderr.on("error", () => {});
process.exitCode = await main(process.argv.slice(2)).catch(fail).finally(hideBars);
