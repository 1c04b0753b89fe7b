"""An AWQ folder as a float32 one, unpacked by AutoAWQ's own functions: transformers then computes with exactly the int4 weights.

Usage: unpack_awq.py FOLDER OUT (torch, safetensors, and autoawq's awq.utils.packing_utils). A linear becomes (q - z) * s, which float32
holds without rounding: five bits times a float16. What is no linear stays what it is, in float32.
"""

import json
import os
import shutil
import sys

import torch
from awq.utils.packing_utils import reverse_awq_order, unpack_awq
from safetensors.torch import load_file, save_file

folder, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
config = json.load(open(f"{folder}/config.json"))
settings = config.pop("quantization_config")
json.dump({**config, "torch_dtype": "float32"}, open(f"{out}/config.json", "w"), indent=2)
for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
    shutil.copy(f"{folder}/{name}", out)
stored = load_file(f"{folder}/model.safetensors")
tensors = {}
for name, value in stored.items():
    if name.endswith(".qweight"):
        linear = name.removesuffix(".qweight")
        q, z = unpack_awq(value, stored[f"{linear}.qzeros"], settings["bits"])
        q, z = (torch.bitwise_and(x, 15) for x in reverse_awq_order(q, z, settings["bits"]))
        repeat = lambda x: x.to(torch.float32).repeat_interleave(settings["group_size"], dim=0)
        tensors[f"{linear}.weight"] = ((q - repeat(z)) * repeat(stored[f"{linear}.scales"])).T.contiguous()
    elif not name.endswith((".qzeros", ".scales")):
        tensors[name] = value.to(torch.float32)
save_file(tensors, f"{out}/model.safetensors", metadata={"format": "pt"})
print(f"{sum(name.endswith('.qweight') for name in stored)} linears unpacked")
