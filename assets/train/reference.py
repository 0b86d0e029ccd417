#!/usr/bin/env python3
"""What transformers computes with a model's weights, for the tests of the app.

    reference.py MODEL TOKENIZER OUT [--q8_0]        # needs torch, transformers >= 5 and sentencepiece

Writes OUT/expected.json (ids, prompt_ids, the greedy tokens after them, and `positions`, the rows of the logits) and
OUT/expected.safetensors (logits float32 [positions, vocabulary], computed in float64). With --q8_0 the matrices are
rounded to Q8_0 first, as in the GGUF.
"""

import argparse
import json
import pathlib

import numpy as np
import sentencepiece as spm
import torch
import transformers

import formats
import models
from evaluate import q8_0

TEXT = ("Tell me a story about a fox.", "Once there was a fox named Tim. He lived in a small den near the river, and "
        "every night he counted the stars.\n\nOne night, he counted 1,024 of them.", "What did he do then?")
PROMPT = "Tell me a short story about a brave little owl."
GREEDY, SMALLEST_LEAD = 48, 1e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokenizer", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--q8_0", action="store_true")
    parser.add_argument("--positions", type=int, default=16)
    args = parser.parse_args()
    tokenizer = spm.SentencePieceProcessor(model_file=str(args.tokenizer))
    user, assistant, end = map(tokenizer.piece_to_id, ("<|user|>", "<|assistant|>", "<|end|>"))
    ids = [tokenizer.bos_id()]
    for turn, text in enumerate(TEXT):
        ids += [assistant if turn % 2 else user, *tokenizer.encode(text), end]
    prompt = [tokenizer.bos_id(), user, *tokenizer.encode(PROMPT), end, assistant]
    config = json.loads((args.model / "config.json").read_text())
    config = (transformers.LlamaConfig if config["model_type"] == "llama" else transformers.xLSTMConfig)(
        **{k: v for k, v in config.items() if k not in ("architectures", "model_type", "dtype")})
    kind = transformers.LlamaForCausalLM if config.model_type == "llama" else transformers.xLSTMForCausalLM
    model = kind(config).double().eval()
    weights = formats.read_safetensors(args.model / "model.safetensors")
    weights = q8_0(weights) if args.q8_0 else weights
    missing = model.load_state_dict({n: torch.from_numpy(w).double() for n, w in weights.items()}, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
    model.tie_weights() if missing.missing_keys else None
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
        greedy, leads, context = [], [], list(prompt)
        for _ in range(GREEDY):
            best = model(torch.tensor([context])).logits[0, -1].double().topk(2)
            leads.append(float(best.values[0] - best.values[1]))
            greedy.append(int(best.indices[0]))
            context.append(greedy[-1])
        # The training code's own forward pass, for comparison.
        ours = models.build(config.to_dict() | {"model_type": config.model_type}, config.vocab_size).double().eval()
        ours.load_state_dict({n: torch.from_numpy(w).double() for n, w in weights.items()})
        padded = torch.nn.functional.pad(torch.tensor([ids]), (0, -len(ids) % models.CHUNK))
        segment = torch.zeros_like(padded)
        mine = ours(padded, models.plain_mask(segment) if config.model_type == "llama" else segment)[0, :len(ids)]
    # A greedy token is only expected where rounding to float32 cannot decide it.
    sure = next((i for i, lead in enumerate(leads) if lead < SMALLEST_LEAD), GREEDY)
    positions = sorted({round(i) for i in np.linspace(0, len(ids) - 1, args.positions)})
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "expected.json").write_text(json.dumps({
        "model": args.model.name, "reference": f"transformers {transformers.__version__} float64" +
        (", weights rounded to Q8_0" if args.q8_0 else ""), "ids": ids, "positions": positions, "prompt_ids": prompt,
        "greedy": greedy[:sure], "text": tokenizer.decode(greedy[:sure]), "logits_file": "expected.safetensors",
        "smallest_top2_gap": min(leads[:sure])}, indent=1) + "\n")
    formats.write_safetensors(args.out / "expected.safetensors", {"logits": logits[positions].float().numpy()})
    print(f"{len(ids)} ids, {sure} greedy tokens, NMSE of the training code "
          f"{float((mine - logits).square().sum() / logits.square().sum()):.1e}")
    print(tokenizer.decode(greedy))


if __name__ == "__main__":
    main()
