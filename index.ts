/**
 * gureum's front door: a folder with an AWQ (or dense) Llama checkpoint becomes a model that answers, on the CPU reference or on
 * WebGPU. Every part behind it is importable alone: `gureum/core/ops/*`, `gureum/tokenizer`, `gureum/gpu/*`.
 */
import type { ByteStore } from "./core/checkpoint/byte-source.ts";
import { openCheckpoint, planWeights, readWeights } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import {
  contextLimit,
  type GenerateResult,
  generate,
  type GenerateOptions as LoopOptions,
  type TokenEvent,
} from "./core/generate/generate.ts";
import { greedy } from "./core/generate/sampler.ts";
import { directoryStore, embeddedModelPath } from "./core/host/node.ts";
import type { LlamaConfig } from "./core/model/config.ts";
import { cpuModel } from "./core/model/cpu.ts";
import type { ForwardOptions, ForwardResult, Model, SamplingOptions, Session } from "./core/model/engine.ts";
import { type ChatMessage, type ChatTemplate, loadChatTemplate } from "./tokenizer/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";

export type { ByteSource, ByteStore } from "./core/checkpoint/byte-source.ts";
export { GureumError } from "./core/errors.ts";
export type { ForwardOptions, ForwardResult, SamplingOptions, Session, TapHook, TraceValue } from "./core/model/engine.ts";
export type { ChatMessage, GenerateResult, LlamaConfig, TokenEvent, Tokenizer };
