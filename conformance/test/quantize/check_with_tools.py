"""What other people's tools read from gureum's files: every dequantized weight, bit for bit, and a checkpoint field by field.

usage: check_with_tools.py AWQ --compressed-tensors DIR --gptq DIR --gptq-v2 DIR --float16 DIR [--like AUTOAWQ_FOLDER]

AWQ is a folder that `gureum quantize` wrote; the others are what `gureum convert AWQ DIR --to FORMAT` made of it. The float16
folder holds (q - z) * s rounded once, which is what each tool's own dequantization must give. Versions that this was run
with, and its output: README.md beside it.
"""
import argparse
import json
import os

import torch
from safetensors import safe_open

parser = argparse.ArgumentParser()
parser.add_argument("awq")
parser.add_argument("--compressed-tensors")
parser.add_argument("--gptq")
parser.add_argument("--gptq-v2")
parser.add_argument("--float16", required=True)
parser.add_argument("--like")
args = parser.parse_args()
failures = 0


def tensors(folder):
    """Every tensor of a folder, by name, and the metadata of its first file."""
    index = os.path.join(folder, "model.safetensors.index.json")
    files = sorted(set(json.load(open(index))["weight_map"].values())) if os.path.exists(index) else ["model.safetensors"]
    found, metadata = {}, None
    for name in files:
        with safe_open(os.path.join(folder, name), "pt") as file:
            metadata = metadata or file.metadata()
            for key in file.keys():
                found[key] = file.get_tensor(key)
    return found, metadata


def config(folder):
    return json.load(open(os.path.join(folder, "config.json")))


def same_bits(what, got, expected):
    """Counts and prints the linears whose float16 bits differ."""
    global failures
    wrong = [key for key in expected if not torch.equal(got[key].half().view(torch.int16), expected[key].view(torch.int16))]
    numbers = sum(value.numel() for value in expected.values())
    print(f"{what}: {len(expected) - len(wrong)} of {len(expected)} linears, {numbers} weights, the same bits" + (f"; differing: {wrong[:3]}" if wrong else ""))
    failures += len(wrong)


def linear_keys(named):
    return sorted(key[: -len(".qweight")] for key in named if key.endswith(".qweight"))


awq, awq_metadata = tensors(args.awq)
floats, _ = tensors(args.float16)
settings = config(args.awq)["quantization_config"]
keys = linear_keys(awq)
expected = {key: floats[f"{key}.weight"] for key in keys}


def check_autoawq():
    from awq.utils.packing_utils import dequantize_gemm

    got = {key: dequantize_gemm(awq[f"{key}.qweight"], awq[f"{key}.qzeros"], awq[f"{key}.scales"], settings["bits"], settings["group_size"]).T for key in keys}
    same_bits("AutoAWQ, dequantize_gemm", got, expected)


def check_compressed_tensors(folder):
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16, quantization_config=CompressedTensorsConfig(run_compressed=False))
    got = {key: model.get_submodule(key).weight.detach() for key in keys}
    same_bits("transformers with compressed-tensors", got, expected)
    plain = AutoModelForCausalLM.from_pretrained(args.float16, dtype=torch.float16)
    ids = torch.arange(1, 33)[None]
    with torch.no_grad():
        equal = torch.equal(model(ids).logits, plain(ids).logits)
    print(f"transformers: the logits of both folders are {'equal' if equal else 'DIFFERENT'}")
    global failures
    failures += 0 if equal else 1


def check_gptq(folder, version):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

    stored, _ = tensors(folder)
    got = {}
    for key in keys:
        k, n = awq[f"{key}.qweight"].shape[0], awq[f"{key}.scales"].shape[1]
        linear = TorchLinear(bits=4, group_size=settings["group_size"], sym=False, desc_act=False, in_features=k, out_features=n, bias=False, pack_dtype=torch.int32, register_buffers=True)
        linear.load_state_dict({name: stored[f"{key}.{name}"] for name in ("qweight", "qzeros", "scales", "g_idx")}, strict=False)
        if version == 1:
            convert_gptq_v1_to_v2_format_module(linear, bits=4, pack_dtype=torch.int32)
        linear.optimize = lambda *_, **__: None  # compiles for minutes, to the same numbers
        linear.post_init()
        got[key] = linear.dequantize_weight().T
    same_bits(f"GPTQModel, TorchLinear, version {version}", got, expected)


def check_fields(folder):
    """Names, dtypes, shapes, config keys and metadata against a checkpoint of AutoAWQ's."""
    theirs, their_metadata = tensors(folder)
    describe = lambda named: {key: (str(value.dtype), tuple(value.shape)) for key, value in named.items()}
    differing = [key for key in sorted(set(awq) | set(theirs)) if describe(awq).get(key) != describe(theirs).get(key)]
    ours, other = config(args.awq), config(folder)
    keys_differing = {key: (ours.get(key), other.get(key)) for key in sorted(set(ours) | set(other)) if ours.get(key) != other.get(key)}
    files = lambda path: sorted(name for name in os.listdir(path) if not name.startswith("gureum-quantize") and name != "README.md")
    print(f"against {os.path.basename(os.path.normpath(folder))}: tensors {len(awq)} and {len(theirs)}, differing in name, dtype or shape: {differing}")
    print(f"  config.json, differing keys: {keys_differing}; metadata {awq_metadata} and {their_metadata}")
    print(f"  files only here: {sorted(set(files(args.awq)) - set(files(folder)))}, only there: {sorted(set(files(folder)) - set(files(args.awq)))}")
    global failures
    failures += len(differing) + len(keys_differing) + (awq_metadata != their_metadata)


check_autoawq()
if args.compressed_tensors:
    check_compressed_tensors(args.compressed_tensors)
if args.gptq:
    check_gptq(args.gptq, 1)
if args.gptq_v2:
    check_gptq(args.gptq_v2, 2)
if args.like:
    check_fields(args.like)
print("failures:", failures)
raise SystemExit(1 if failures else 0)
