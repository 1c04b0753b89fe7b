"""What transformers computes on a model folder: logits in float64 and float32, and greedy continuations.

Usage: model_reference.py FOLDER OUT [TEXT…] (torch, transformers, safetensors, numpy); the texts of files TEXT are prompts as well.
Writes OUT/reference.json (prompts, ids, `fed`: all ids of the pass, 64 greedily chosen
ids each, as far as float32 and float64 agree, and in float64 the margin of the best logit over the second at each of them) and
OUT/reference.safetensors (logits.<i> float64 [T, V] of `fed`: the prompt and all but the last of the chosen ids). RMSNorm, RoPE and softmax
are in float64 as well: transformers computes them in float32 otherwise.
"""

import json
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama import modeling_llama as llama

folder, out, *texts = sys.argv[1:]
NEW = 64
tokenizer = AutoTokenizer.from_pretrained(folder)
PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Write a haiku about clouds."}],
    [{"role": "system", "content": "You answer in one sentence."}, {"role": "user", "content": "Why is the sky blue?"}],
    "def fibonacci(n):\n    ",
    "구름은 하늘에 떠 있는",
    "The three largest planets of the solar system are",
    *(open(path, encoding="utf-8").read() for path in texts),
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
prompts = []
f32 = []
with torch.no_grad():
    for prompt in PROMPTS:
        text, ids = ids_of(prompt)
        run = single(torch.tensor([ids]), use_cache=True)
        rows = [run.logits[0]]
        greedy = []
        for _ in range(NEW):
            greedy.append(int(run.logits[0, -1].argmax()))
            run = single(torch.tensor([[greedy[-1]]]), past_key_values=run.past_key_values, use_cache=True)
            rows.append(run.logits[0])
        prompts.append({"messages": None if isinstance(prompt, str) else prompt, "text": text, "ids": ids, "greedy": greedy})
        f32.append(torch.cat(rows)[:-1].numpy().astype(np.float64))
del single

llama.LlamaRMSNorm.forward = norm64
llama.LlamaRotaryEmbedding.forward = rotary64
llama.eager_attention_forward = attention64
double = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
tensors = {}
with torch.no_grad():
    for i, one in enumerate(prompts):
        ids = one["ids"] + one["greedy"][:-1]
        logits = double(torch.tensor([ids])).logits[0]
        assert logits.dtype == torch.float64
        best = logits[len(one["ids"]) - 1 :].topk(2)
        # What was chosen in float32 stands as far as float64 chooses the same.
        same = (best.indices[:, 0] == torch.tensor(one["greedy"])).tolist()
        one["fed"] = ids
        one["greedy"] = one["greedy"][: same.index(False) if False in same else None]
        one["margins"] = (best.values[:, 0] - best.values[:, 1]).tolist()
        one["float32Error"] = float(np.abs(f32[i] - logits.numpy()).max() / np.abs(logits.numpy()).max())
        one["greedyText"] = tokenizer.decode(one["greedy"])
        tensors[f"logits.{i}"] = logits.numpy()
        print(one["float32Error"], len(one["greedy"]), repr(one["greedyText"][:80]), flush=True)
save_file(tensors, f"{out}/reference.safetensors")
json.dump({"prompts": prompts}, open(f"{out}/reference.json", "w"), indent=1)
