#!/usr/bin/env python3
"""Writes the small reference models of tests/data: random Llamas, and the logits transformers computes for them in
float64.

    python3 tests/data/make_models.py tests/data

Needs torch, transformers >= 5 and safetensors. Each directory holds config.json, the weights, expected.json
(ids, prompt_ids and the greedy tokens that follow them) and expected.safetensors (logits float32 [ids, vocabulary],
rounded once from float64). The seeds are pinned; a greedy token whose lead over the next would not survive float32 is a
failure.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM

FLOAT32 = torch.float32

IDS, PROMPT, GREEDY = 40, 12, 16
SMALLEST_LEAD = 1e-4  # of logits whose deviation is about 1.5; float32 kernels are off by some 1e-6

MODELS = {
    # Grouped heads, an output matrix of its own, plain RoPE.
    "gqa_f16": dict(
        seed=1, dtype=torch.float16,
        shape=dict(hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2, head_dim=8, vocab_size=96, max_position_embeddings=64, rms_norm_eps=1e-5),
        rope=dict(rope_type="default", rope_theta=10000.0)),
    # Tied, biases at q, k, v and o, RoPE stretched as Llama 3.1's.
    "tied_rope3_bias_bf16": dict(
        seed=2, dtype=torch.bfloat16,
        shape=dict(hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=2,
                   num_key_value_heads=1, head_dim=20, vocab_size=100, max_position_embeddings=128, rms_norm_eps=1e-6,
                   tie_word_embeddings=True, attention_bias=True),
        rope=dict(rope_type="llama3", rope_theta=50000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32)),
    # Nothing is a multiple of 4 rows of 8; two shards; config.json in the style before transformers 5.
    "odd_sharded_f32": dict(
        seed=3, dtype=FLOAT32, shards=2, older_config=True,
        shape=dict(hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3,
                   num_key_value_heads=1, head_dim=12, vocab_size=67, max_position_embeddings=64, rms_norm_eps=1e-5,
                   mlp_bias=True),
        rope=dict(rope_type="linear", rope_theta=20000.0, factor=2.0)),
}


def compute_in_float64():
    """transformers takes RoPE, the mean of RMSNorm and the softmax in float32 whatever the model's dtype: it is told
    that float32 is float64."""
    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double


class NothingBelowFloat64(TorchDispatchMode):
    """Fails at the first operation that gives fewer bits than float64."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                assert leaf.dtype == torch.float64, f"{operation} gave {leaf.dtype}"
        return result


def randomise(model, dtype, generator):
    """Matrices of deviation 1/sqrt(fan_in), embeddings of 1 and norms near 1: attention and logits are not flat. Values
    are rounded to `dtype`, which the file stores."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        if "norm" in name:
            value = 1 + 0.2 * noise
        elif name.endswith(".bias"):
            value = 0.3 * noise
        elif "embed_tokens" in name:
            # A tied matrix also makes the logits: a deviation of 1 would have each token predict itself.
            value = noise * (1.5 / weight.shape[1] ** 0.5 if model.config.tie_word_embeddings else 1.0)
        else:
            value = (1.5 if "lm_head" in name else 1.2) * noise / weight.shape[1] ** 0.5
        weight.data = value.to(dtype).to(torch.float64)


def config_json(shape, rope, dtype, older):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **shape, "bos_token_id": 1,
              "eos_token_id": 2, "hidden_act": "silu"}
    if older:
        config["rope_theta"] = rope["rope_theta"]
        config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
        config["torch_dtype"] = dtype
    else:
        config["rope_parameters"] = rope
        config["dtype"] = dtype
    return config


def save_weights(directory, tensors, shards):
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for i in range(shards):
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        save_file({name: tensors[name] for name in part}, directory / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(directory / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


@torch.no_grad()
def make(directory, seed, dtype, shape, rope, shards=1, older_config=False):
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*"):
        stale.unlink()
    generator = torch.Generator().manual_seed(seed)
    config = LlamaConfig(**shape, rope_parameters=dict(rope), bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    assert model.model.rotary_emb.inv_freq.dtype == torch.float64
    randomise(model, dtype, generator)

    ids = [1] + torch.randint(3, shape["vocab_size"], (IDS - 1,), generator=generator).tolist()
    sequence, leads = ids[:PROMPT], []
    with NothingBelowFloat64():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        for _ in range(GREEDY):
            top = model(torch.tensor([sequence]), use_cache=False).logits[0, -1].topk(2)
            leads.append((top.values[0] - top.values[1]).item())
            sequence.append(top.indices[0].item())
    assert min(leads) > SMALLEST_LEAD, f"{directory.name}: a lead of {min(leads):.1e}; take another seed"

    name = str(dtype).removeprefix("torch.")
    write_json(directory / "config.json", config_json(shape, rope, name, older_config))
    tensors = {n: w.data.to(dtype).contiguous() for n, w in model.named_parameters()}
    save_weights(directory, tensors, shards)
    write_json(directory / "expected.json", {"ids": ids, "prompt_ids": ids[:PROMPT], "greedy": sequence[PROMPT:]})
    save_file({"logits": logits.to(FLOAT32).contiguous()}, directory / "expected.safetensors")
    size = sum(file.stat().st_size for file in directory.iterdir())
    print(f"{directory.name}: {size / 1024:.0f} KiB, logits deviate by {logits.std().item():.2f}, "
          f"smallest lead {min(leads):.1e}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    compute_in_float64()
    for name, model in MODELS.items():
        make(pathlib.Path(sys.argv[1]) / name, **model)


if __name__ == "__main__":
    main()
