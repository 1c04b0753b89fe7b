"""The perplexity that transformers gives a text, in windows as `gureum perplexity` cuts them.

Usage: perplexity_reference.py FOLDER TEXT CONTEXT STRIDE [float32|float64] (torch, transformers). A window scores the ids that no
window before it has scored; the first id of the text is scored by none. Losses are summed in float64.
"""

import math
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, path, context, stride, *dtype = sys.argv[1:]
context, stride = int(context), int(stride)
ids = AutoTokenizer.from_pretrained(folder)(open(path, encoding="utf-8").read(), add_special_tokens=False).input_ids
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype[0] if dtype else "float32"), attn_implementation="eager").eval()
losses = []
begin, scored = 0, 1
with torch.no_grad():
    while scored < len(ids):
        end = min(len(ids), begin + context)
        if end > scored:
            window = ids[begin:end]
            logits = model(torch.tensor([window])).logits[0].to(torch.float64)
            chosen = torch.log_softmax(logits[:-1], -1)[torch.arange(len(window) - 1), torch.tensor(window[1:])]
            losses += (-chosen[scored - begin - 1 :]).tolist()
            scored = end
        begin += stride
loss = math.fsum(losses) / len(losses)
print(f"tokens scored {len(losses)}, loss {loss:.9f}, perplexity {math.exp(loss):.7f}")
