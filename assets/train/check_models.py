#!/usr/bin/env python3
"""Checks the training code against independent references, in float64 on the CPU.

    check_models.py ORACLE.safetensors MODEL...

ORACLE holds q, k, v, i, f and the h that the recurrent mLSTM gives; each MODEL is a directory in Hugging Face layout
with expected.json and expected.safetensors (logits of a reference implementation).
"""

import json
import pathlib
import sys

import torch

import models
from formats import read_safetensors


def nmse(a, b):
    return float((a - b).square().sum() / b.square().sum())


def recurrent(q, k, v, i, f):
    """The definition, one position after the other, with no stabiliser."""
    b, h, t, dk = q.shape
    c, n, out = torch.zeros(b, h, dk, v.shape[-1], dtype=q.dtype), torch.zeros(b, h, dk, dtype=q.dtype), []
    for s in range(t):
        forget, enter = torch.sigmoid(f[:, :, s]), torch.exp(i[:, :, s])
        c = forget[..., None, None] * c + enter[..., None, None] * k[:, :, s, :, None] * v[:, :, s, None, :]
        n = forget[..., None] * n + enter[..., None] * k[:, :, s]
        read = q[:, :, s] * dk**-0.5
        out.append((read[..., None] * c).sum(-2) / ((read * n).sum(-1).abs().clamp(min=1) + models.EPS)[..., None])
    return torch.stack(out, 2)


def main():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    q, k, v = torch.randn(2, 3, 128, 8), torch.randn(2, 3, 128, 8), torch.randn(2, 3, 128, 16)
    i, f = 3 * torch.randn(2, 3, 128), 3 * torch.randn(2, 3, 128) + 2
    segment = (torch.arange(128) >= 47).long() + (torch.arange(128) >= 50).long() + (torch.arange(128) >= 100).long()
    got = models.mlstm_chunkwise(q, k, v, i, f, segment.expand(2, -1), 16)
    want = torch.cat([recurrent(*(x[:, :, a:e] for x in (q, k, v, i, f))) for a, e in
                      ((0, 47), (47, 50), (50, 100), (100, 128))], 2)
    print("chunkwise against recurrent, four texts: NMSE", nmse(got, want))
    for path in map(pathlib.Path, sys.argv[1:]):
        if path.is_file():
            check_oracle(path)
        else:
            check_model(path)


def check_oracle(path):
    """q, k, v [B, H, T, d], gate pre-activations i, f [B, H, T] and the recurrent form's output H_f64_recurrent."""
    data = {name: torch.from_numpy(value).double() for name, value in read_safetensors(path).items()}
    q, k, v, i, f, want = (data[name] for name in ("q", "k", "v", "i", "f", "H_f64_recurrent"))
    t = q.shape[2]
    got = models.mlstm_chunkwise(q, k, v, i, f, torch.zeros(q.shape[0], t), next(c for c in (16, 8, 4, 1) if t % c == 0))
    print(path.name, "NMSE", nmse(got, want))


def check_model(path):
    config = json.loads((path / "config.json").read_text())
    weights = {n: torch.from_numpy(w).double() for n, w in read_safetensors(path / "model.safetensors").items()}
    head = weights.pop("lm_head.weight", None) if config["model_type"] == "llama" else None  # ours is tied
    model = models.build(config, config["vocab_size"])
    hidden = []
    if head is not None:
        model.model.norm.register_forward_hook(lambda module, given, result: hidden.append(result))
    model.load_state_dict(weights)
    models.ROPE_THETA = config.get("rope_parameters", {}).get("rope_theta", 10000.0)
    models.EPS = config.get("rms_norm_eps", config.get("norm_eps"))
    ids = torch.tensor(json.loads((path / "expected.json").read_text())["ids"])[None]
    ids = torch.nn.functional.pad(ids, (0, -ids.shape[1] % models.CHUNK))
    real = len(json.loads((path / "expected.json").read_text())["ids"])
    segment = torch.zeros_like(ids)
    with torch.no_grad():
        logits = model(ids, models.plain_mask(segment) if config["model_type"] == "llama" else segment)[0, :real]
    if hidden:
        logits = hidden[0][0, :real] @ head.T
    want = torch.from_numpy(read_safetensors(path / "expected.safetensors")["logits"]).double()
    print(path.name, "NMSE", nmse(logits, want))


if __name__ == "__main__":
    main()
