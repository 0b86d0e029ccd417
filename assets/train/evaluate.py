#!/usr/bin/env python3
"""Held-out perplexity of a model directory in float32, by kind; for a Llama also what Q8_0 costs.

    evaluate.py DATA MODEL OUT.json [--device cuda]
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch

import formats
import models
from train import Rows, load


def q8_0(weights):
    """What a GGUF's reader sees: matrices of Q8_0, vectors as they are."""
    return {name: formats.dequantize_q8_0(formats.quantize_q8_0(w).tobytes(), w.shape) if w.ndim == 2 else w
            for name, w in weights.items()}


@torch.no_grad()
def log_probabilities(model, tokens, segment):
    mask = models.plain_mask(segment) if model.shape["model_type"] == "llama" else segment
    return model(tokens, mask).float().log_softmax(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=8)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    kinds = json.loads((args.data / "data.json").read_text())["kinds"]
    held = Rows(args.data / "held.npz", args.device)
    config = json.loads((args.model / "config.json").read_text())
    model = models.build(config, config["vocab_size"]).to(args.device).eval()
    load(model, args.model, args.device)
    quantised = None
    if config["model_type"] == "llama":
        quantised = models.build(config, config["vocab_size"]).to(args.device).eval()
        weights = q8_0(formats.read_safetensors(args.model / "model.safetensors"))
        quantised.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    sums = {name: np.zeros(len(kinds)) for name in ("count", "loss", "loss_q8_0", "kl", "same_top", "assistant", "answers")}
    for at in range(0, len(held.tokens), args.rows):
        index = torch.arange(at, min(at + args.rows, len(held.tokens)), device=args.device)
        tokens, segment, targets, real = held.batch(index)
        kind = held.kind[index][:, 1:][real].long().cpu().numpy()

        def add(name, values):
            np.add.at(sums[name], kind, values[real].double().cpu().numpy())

        p = log_probabilities(model, tokens, segment)
        loss = -p.gather(-1, targets[..., None]).squeeze(-1)
        # Inside an answer: after <|assistant|> (4), up to <|end|> (5).
        positions = torch.arange(tokens.shape[1], device=args.device)
        last = torch.where((tokens == 3) | (tokens == 4) | (tokens == 1), positions, 0).cummax(-1).values
        answer = (tokens.gather(-1, last) == 4).double()
        add("count", torch.ones_like(loss))
        add("loss", loss)
        add("answers", answer)
        add("assistant", loss * answer)
        if quantised:
            q = log_probabilities(quantised, tokens, segment)
            add("loss_q8_0", -q.gather(-1, targets[..., None]).squeeze(-1))
            add("kl", (p.exp() * (p - q)).sum(-1))
            add("same_top", (p.argmax(-1) == q.argmax(-1)).float())
    def mean(name, over="count", k=slice(None)):
        return float(sums[name][k].sum() / max(1.0, sums[over][k].sum()))
    result = {"tokens": int(sums["count"].sum()), "loss": mean("loss"), "perplexity": math.exp(mean("loss")),
              "perplexity_of_answers": math.exp(mean("assistant", "answers")),
              "by_kind": {kinds[k]: {"tokens": int(sums["count"][k]), "perplexity": math.exp(mean("loss", k=k))}
                          for k in range(len(kinds)) if sums["count"][k]}}
    if quantised:
        result |= {"perplexity_q8_0": math.exp(mean("loss_q8_0")), "kl_q8_0": mean("kl"),
                   "same_top_token_q8_0": mean("same_top")}
    args.out.write_text(json.dumps(result, indent=1))
    print(json.dumps({k: v for k, v in result.items() if k != "by_kind"}))


if __name__ == "__main__":
    main()
