#!/usr/bin/env python3
"""Llama directory (config.json, model.safetensors) and tokenizer.model -> one Q8_0 GGUF.

    convert.py MODEL TOKENIZER OUT.gguf --name Llama-Glassbox-21M      # needs numpy and sentencepiece
"""

import argparse
import json
import pathlib

import numpy as np
import sentencepiece as spm

from formats import read_safetensors, write_gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CHAT_TEMPLATE = (pathlib.Path(__file__).parent / "chat_template.jinja").read_text()
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def vocabulary(tokenizer):
    def kind(i):
        for is_kind, number in ((tokenizer.is_unknown, UNKNOWN), (tokenizer.is_control, CONTROL),
                                (tokenizer.is_byte, BYTE), (tokenizer.is_unused, UNUSED)):
            if is_kind(i):
                return number
        return NORMAL
    ids = range(tokenizer.get_piece_size())
    return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.tokens": [tokenizer.id_to_piece(i) for i in ids],
            "tokenizer.ggml.scores": np.array([tokenizer.get_score(i) for i in ids], np.float32),
            "tokenizer.ggml.token_type": np.array([kind(i) for i in ids], np.int32),
            "tokenizer.ggml.bos_token_id": tokenizer.bos_id(), "tokenizer.ggml.eos_token_id": tokenizer.eos_id(),
            "tokenizer.ggml.unknown_token_id": tokenizer.unk_id(),
            "tokenizer.ggml.eot_token_id": tokenizer.piece_to_id("<|end|>"),
            "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": False,
            "tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.remove_extra_whitespaces": False,
            "tokenizer.chat_template": CHAT_TEMPLATE}


def interleave(weight, heads):
    """Q and K rows, from Hugging Face's halves to GGUF's pairs."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def gguf_tensors(config, weights):
    yield "token_embd.weight", weights["model.embed_tokens.weight"]
    yield "output_norm.weight", weights["model.norm.weight"]
    heads = {"self_attn.q_proj": config["num_attention_heads"], "self_attn.k_proj": config["num_key_value_heads"]}
    for layer in range(config["num_hidden_layers"]):
        for name, ours in NAMES.items():
            weight = weights[f"model.layers.{layer}.{name}.weight"]
            yield f"blk.{layer}.{ours}.weight", interleave(weight, heads[name]) if name in heads else weight


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokenizer", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    metadata = {"general.architecture": "llama", "general.name": args.name, "general.author": "Glassbox",
                "general.description": "Built with Llama: trained in part on text written by Llama 3.1",
                "general.license": "mit", "general.file_type": 7, "general.quantization_version": 2,
                "llama.vocab_size": config["vocab_size"], "llama.context_length": config["max_position_embeddings"],
                "llama.embedding_length": config["hidden_size"], "llama.block_count": config["num_hidden_layers"],
                "llama.feed_forward_length": config["intermediate_size"],
                "llama.attention.head_count": config["num_attention_heads"],
                "llama.attention.head_count_kv": config["num_key_value_heads"],
                "llama.rope.dimension_count": config["head_dim"],
                "llama.rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
                "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
                **vocabulary(spm.SentencePieceProcessor(model_file=str(args.tokenizer)))}
    weights = read_safetensors(args.model / "model.safetensors")
    write_gguf(args.out, metadata, list(gguf_tensors(config, weights)))
    print(args.out, args.out.stat().st_size, "bytes,", sum(w.size for w in weights.values()), "parameters")


if __name__ == "__main__":
    main()
