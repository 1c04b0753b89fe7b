"""What transformers computes on a model folder: logits in float64 and float32, and greedy continuations.

Usage: model_reference.py FOLDER OUT (torch, transformers, safetensors, numpy). Writes OUT/reference.json (prompts, ids, 64 greedily chosen
ids each, with the margin of the best logit over the second at each of them, both in float64) and OUT/reference.safetensors (logits.<i>
float64 [T, V]). RMSNorm, RoPE and softmax are in float64 as well: transformers computes them in float32 otherwise.
"""

import json
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama import modeling_llama as llama

folder, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Write a haiku about clouds."}],
    [{"role": "system", "content": "You answer in one sentence."}, {"role": "user", "content": "Why is the sky blue?"}],
    "def fibonacci(n):\n    ",
    "구름은 하늘에 떠 있는",
    "The three largest planets of the solar system are",
]


def norm64(self, x):
    x64 = x.to(torch.float64)
    return self.weight.to(torch.float64) * (x64 * torch.rsqrt(x64.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def rotary64(self, x, position_ids):
    size = self.config.hidden_size // self.config.num_attention_heads
    rope = getattr(self.config, "rope_parameters", None) or {}
    theta = rope.get("rope_theta") or self.config.rope_theta
    inverse = 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = position_ids[..., None].to(torch.float64) * inverse
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def attention64(module, query, key, value, mask, scaling, dropout=0.0, **_):
    key = key.repeat_interleave(module.num_key_value_groups, dim=1)
    value = value.repeat_interleave(module.num_key_value_groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    t, s = scores.shape[-2:]
    scores = scores.masked_fill(torch.ones(t, s, dtype=torch.bool).tril(s - t).logical_not(), float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def ids_of(prompt):
    text = prompt if isinstance(prompt, str) else tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return text, tokenizer(text, add_special_tokens=False).input_ids


single = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
prompts = [{"messages": prompt if not isinstance(prompt, str) else None, "text": ids_of(prompt)[0], "ids": ids_of(prompt)[1]} for prompt in PROMPTS]
with torch.no_grad():
    f32 = [single(torch.tensor([one["ids"]])).logits[0].numpy().astype(np.float64) for one in prompts]
del single

llama.LlamaRMSNorm.forward = norm64
llama.LlamaRotaryEmbedding.forward = rotary64
llama.eager_attention_forward = attention64
double = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
tensors = {}
with torch.no_grad():
    for i, one in enumerate(prompts):
        run = double(torch.tensor([one["ids"]]), use_cache=True)
        logits = run.logits[0]
        assert logits.dtype == torch.float64
        tensors[f"logits.{i}"] = logits.numpy()
        one["float32Error"] = float(np.abs(f32[i] - logits.numpy()).max() / np.abs(logits.numpy()).max())
        one["greedy"], one["margins"] = [], []
        for _ in range(64):
            best = run.logits[0, -1].topk(2)
            one["greedy"].append(int(best.indices[0]))
            one["margins"].append(float(best.values[0] - best.values[1]))
            run = double(torch.tensor([[one["greedy"][-1]]]), past_key_values=run.past_key_values, use_cache=True)
        one["greedyText"] = tokenizer.decode(one["greedy"])
        print(one["float32Error"], repr(one["greedyText"][:80]))
save_file(tensors, f"{out}/reference.safetensors")
json.dump({"prompts": prompts}, open(f"{out}/reference.json", "w"), indent=1)
