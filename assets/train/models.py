"""The two architectures in plain PyTorch, with the parameter names of Hugging Face's `llama` and `xlstm` layouts.

Both read rows in which several texts follow each other: `segment` [rows, T] numbers them, and no text sees another.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {
    "llama-21m": dict(model_type="llama", hidden_size=384, intermediate_size=1088, num_hidden_layers=11,
                      num_attention_heads=6, num_key_value_heads=2),
    "llama-teacher": dict(model_type="llama", hidden_size=768, intermediate_size=2048, num_hidden_layers=10,
                          num_attention_heads=12, num_key_value_heads=4),
    "xlstm-9m": dict(model_type="xlstm", hidden_size=256, num_hidden_layers=6, num_heads=4, qk_dim_factor=0.5,
                     v_dim_factor=1.0, ffn_proj_factor=2.5, gate_soft_cap=15.0, output_logit_soft_cap=30.0),
    "llama-toy": dict(model_type="llama", hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                      num_attention_heads=4, num_key_value_heads=2),
    "xlstm-toy": dict(model_type="xlstm", hidden_size=64, num_hidden_layers=2, num_heads=2, qk_dim_factor=0.5,
                      v_dim_factor=1.0, ffn_proj_factor=2.0, gate_soft_cap=15.0, output_logit_soft_cap=30.0),
}
ROPE_THETA, EPS, CHUNK = 10000.0, 1e-6, 64


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS)
        return (y * self.weight).to(x.dtype)


def linear(inputs, outputs, deviation):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=deviation)
    return layer


def rope(x, cos, sin):
    """Rotates halves [.., T, d], as Hugging Face's Llama pairs them (Su et al. 2021)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, shape, out_deviation):
        super().__init__()
        d, self.heads, self.kv_heads = shape["hidden_size"], shape["num_attention_heads"], shape["num_key_value_heads"]
        self.head_dim = d // self.heads
        kv = self.kv_heads * self.head_dim
        self.q_proj, self.k_proj = linear(d, d, d**-0.5), linear(d, kv, d**-0.5)
        self.v_proj, self.o_proj = linear(d, kv, d**-0.5), linear(d, d, out_deviation)

    def forward(self, x, cos, sin, mask, attend):
        b, t, d = x.shape
        q = rope(self.q_proj(x).view(b, t, self.heads, -1).transpose(1, 2), cos, sin)
        k = rope(self.k_proj(x).view(b, t, self.kv_heads, -1).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(b, t, self.kv_heads, -1).transpose(1, 2)
        return self.o_proj(attend(q, k, v, mask).transpose(1, 2).reshape(b, t, d))


def plain_attention(q, k, v, mask):
    """The formula itself: for CPUs and old versions of torch. mask [rows, 1, T, T], true where attended."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1]**-0.5
    return scores.masked_fill(~mask, -math.inf).softmax(-1).to(v.dtype) @ v


def plain_mask(segment):
    t = segment.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=segment.device).tril()
    return (causal & (segment[:, :, None] == segment[:, None, :]))[:, None]


class LlamaMlp(nn.Module):
    def __init__(self, d, hidden, out_deviation):
        super().__init__()
        self.gate_proj, self.up_proj = linear(d, hidden, d**-0.5), linear(d, hidden, d**-0.5)
        self.down_proj = linear(hidden, d, out_deviation)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, hidden, layers = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(d), RMSNorm(d)
        self.self_attn = Attention(shape, (2 * layers * d)**-0.5)
        self.mlp = LlamaMlp(d, hidden, (2 * layers * hidden)**-0.5)

    def forward(self, x, dropout, *attention):
        x = x + dropout(self.self_attn(self.input_layernorm(x), *attention))
        return x + dropout(self.mlp(self.post_attention_layernorm(x)))


class Llama(nn.Module):
    """Touvron et al. 2023, tied embeddings. logits [rows, T, vocabulary] of tokens [rows, T]."""

    compute_dtype = None  # of the residual stream; the parameters' where it is not set

    def __init__(self, shape, vocabulary, dropout=0.0, attend=plain_attention):
        super().__init__()
        d = shape["hidden_size"]
        self.shape, self.attend, self.dropout = shape, attend, nn.Dropout(dropout)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(vocabulary, d)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.02)
        self.model.layers = nn.ModuleList(LlamaLayer(shape) for _ in range(shape["num_hidden_layers"]))
        self.model.norm = RMSNorm(d)

    def output_weight(self):
        return self.model.embed_tokens.weight

    def forward(self, tokens, mask):
        half = self.shape["hidden_size"] // self.shape["num_attention_heads"] // 2
        steps = torch.arange(half, device=tokens.device, dtype=torch.float32)
        angles = torch.arange(tokens.shape[1], device=tokens.device)[:, None] * ROPE_THETA**(-steps / half)
        dtype = self.compute_dtype or self.output_weight().dtype
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        x = self.dropout(F.embedding(tokens, self.output_weight()).to(dtype))
        for layer in self.model.layers:
            x = layer(x, self.dropout, cos, sin, mask, self.attend)
        return F.linear(self.model.norm(x), self.output_weight())


def soft_cap(x, cap):
    return cap * torch.tanh(x / cap)


def mlstm_chunkwise(q, k, v, i, f, segment, chunk=CHUNK):
    """The mLSTM (Beck et al. 2024, eq. 19-27) in parallel within and across chunks (Beck et al. 2025, TFLA).

    q, k [B, H, T, dk], v [B, H, T, dv]; gate pre-activations i, f [B, H, T]; segment [B, T], where states start anew.
    T is a multiple of `chunk`. Returns h [B, H, T, dv].

    With F the running sum of log sigmoid(f), position t adds up exp(F_t - F_s + i_s) (q_t k_s / sqrt(dk)) [v_s, 1] over
    s <= t. The gates are soft-capped (|i| <= cap), so these weights stay far inside the range of float32 and bfloat16,
    and no running maximum is kept: h = sum / max(|normaliser|, 1) is the same number as the stabilised form's.
    """
    b, h, t, dk = q.shape
    n, dtype = t // chunk, v.dtype
    q = (q * dk**-0.5).reshape(b, h, n, chunk, dk)
    k, v = k.reshape(b, h, n, chunk, dk), v.reshape(b, h, n, chunk, -1)
    wide = torch.promote_types(torch.float32, i.dtype)
    i, segment = i.to(wide).reshape(b, h, n, chunk), segment.reshape(b, 1, n, chunk)
    decay = F.logsigmoid(f.to(wide)).reshape(b, h, n, chunk).cumsum(-1)  # from the chunk's start, this position included
    total = decay[..., -1]

    # Within a chunk.
    causal = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).tril()
    together = causal & (segment[..., :, None] == segment[..., None, :])
    weight = (decay[..., :, None] - decay[..., None, :] + i[..., None, :]).masked_fill(~together, -math.inf).exp()
    scores = (q @ k.transpose(-1, -2)).to(wide) * weight
    normaliser = scores.sum(-1)
    values = scores.to(dtype) @ v

    # What each chunk adds to the state, and the states before each chunk: all pairs of chunks at once.
    first, last = segment[..., :1], segment[..., -1:]
    to_end = (total[..., None] - decay + i).masked_fill(segment != last, -math.inf).exp()
    gated = k * to_end[..., None].to(dtype)
    added = gated.transpose(-1, -2) @ v                     # [B, H, n, dk, dv]
    added_norm = (k.to(wide) * to_end[..., None]).sum(-2)   # [B, H, n, dk]
    before = total.cumsum(-1) - total                       # decay before each chunk
    carry = before[..., :, None] - (before + total)[..., None, :]
    earlier = torch.ones(n, n, dtype=torch.bool, device=q.device).tril(-1)
    unbroken = earlier & (first.squeeze(-1)[..., :, None] == last.squeeze(-1)[..., None, :])
    carry = carry.masked_fill(~unbroken, -math.inf).exp()   # [B, H, chunk, earlier chunk]
    state = (carry @ added.flatten(-2).to(wide)).to(dtype).view_as(added)
    state_norm = carry @ added_norm
    from_start = decay.masked_fill(segment != first, -math.inf).exp()[..., None]
    values = values.to(wide) + from_start * (q @ state).to(wide)
    normaliser = normaliser + (from_start * q.to(wide) * state_norm[..., None, :]).sum(-1)
    return (values / (normaliser.abs().clamp(min=1.0)[..., None] + EPS)).to(dtype).reshape(b, h, t, -1)


class MultiHeadNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        """x [B, T, H, d] -> [B, T, H * d], normalised per head."""
        y = x.float()
        y = y - y.mean(-1, keepdim=True)
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS)
        return (y.flatten(-2) * self.weight).to(x.dtype)


class MlstmLayer(nn.Module):
    def __init__(self, shape, out_deviation):
        super().__init__()
        d, self.heads, self.cap = shape["hidden_size"], shape["num_heads"], shape["gate_soft_cap"]
        qk, v = int(d * shape["qk_dim_factor"]), int(d * shape["v_dim_factor"])
        self.q, self.k, self.v = linear(d, qk, d**-0.5), linear(d, qk, d**-0.5), linear(d, v, d**-0.5)
        self.ogate_preact, self.out_proj = linear(d, v, d**-0.5), linear(v, d, out_deviation)
        self.igate_preact, self.fgate_preact = nn.Linear(d, self.heads), nn.Linear(d, self.heads)
        for gate in (self.igate_preact, self.fgate_preact):
            nn.init.zeros_(gate.weight)
        nn.init.constant_(self.igate_preact.bias, -3.0)
        self.fgate_preact.bias.data = torch.linspace(3.0, 6.0, self.heads)
        self.multihead_norm = MultiHeadNorm(v)

    def forward(self, x, segment):
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        i, f = (soft_cap(layer(x).float(), self.cap).transpose(1, 2) for layer in (self.igate_preact, self.fgate_preact))
        h = self.multihead_norm(mlstm_chunkwise(q, k, v, i, f, segment).transpose(1, 2))
        return self.out_proj(h * torch.sigmoid(self.ogate_preact(x)))


class XlstmMlp(nn.Module):
    def __init__(self, d, hidden, out_deviation):
        super().__init__()
        self.proj_up_gate, self.proj_up = linear(d, hidden, d**-0.5), linear(d, hidden, d**-0.5)
        self.proj_down = linear(hidden, d, out_deviation)

    def forward(self, x):
        return self.proj_down(F.silu(self.proj_up_gate(x)) * self.proj_up(x))


class XlstmBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, blocks = shape["hidden_size"], shape["num_hidden_layers"]
        hidden = math.ceil(d * shape["ffn_proj_factor"] / 64) * 64
        self.norm_mlstm, self.norm_ffn = RMSNorm(d), RMSNorm(d)
        self.mlstm_layer = MlstmLayer(shape, (2 * blocks * d)**-0.5)
        self.ffn = XlstmMlp(d, hidden, (2 * blocks * hidden)**-0.5)

    def forward(self, x, dropout, segment):
        x = x + dropout(self.mlstm_layer(self.norm_mlstm(x), segment))
        return x + dropout(self.ffn(self.norm_ffn(x)))


class Xlstm(nn.Module):
    """Beck et al. 2025 (xLSTM 7B): mLSTM blocks only. Takes `segment` where Llama takes a mask."""

    compute_dtype = None

    def __init__(self, shape, vocabulary, dropout=0.0):
        super().__init__()
        d = shape["hidden_size"]
        self.shape, self.dropout = shape, nn.Dropout(dropout)
        self.backbone = nn.Module()
        self.backbone.embeddings = nn.Embedding(vocabulary, d)
        nn.init.normal_(self.backbone.embeddings.weight, std=0.02)
        self.backbone.blocks = nn.ModuleList(XlstmBlock(shape) for _ in range(shape["num_hidden_layers"]))
        self.backbone.out_norm = RMSNorm(d)
        self.lm_head = linear(d, vocabulary, 0.02)

    def forward(self, tokens, segment):
        x = self.backbone.embeddings(tokens)
        x = self.dropout(x.to(self.compute_dtype or x.dtype))
        for block in self.backbone.blocks:
            x = block(x, self.dropout, segment)
        return soft_cap(self.lm_head(self.backbone.out_norm(x)).float(), self.shape["output_logit_soft_cap"])


def build(shape, vocabulary, dropout=0.0, attend=plain_attention):
    if shape["model_type"] == "llama":
        return Llama(shape, vocabulary, dropout, attend)
    return Xlstm(shape, vocabulary, dropout)


def config_json(shape, vocabulary, context):
    """config.json of the Hugging Face layout. 5 is <|end|>."""
    end = {"bos_token_id": 1, "eos_token_id": [2, 5], "pad_token_id": 0, "dtype": "bfloat16", "vocab_size": vocabulary}
    if shape["model_type"] == "llama":
        return {"architectures": ["LlamaForCausalLM"], **shape, **end, "hidden_act": "silu", "rms_norm_eps": EPS,
                "head_dim": shape["hidden_size"] // shape["num_attention_heads"], "tie_word_embeddings": True,
                "max_position_embeddings": context, "attention_bias": False, "mlp_bias": False,
                "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA}}
    return {"architectures": ["xLSTMForCausalLM"], **shape, **end, "embedding_dim": shape["hidden_size"],
            "num_blocks": shape["num_hidden_layers"], "ffn_round_up_to_multiple_of": 64, "use_bias": False,
            "add_out_norm": True, "eps": EPS, "norm_eps": EPS, "norm_reduction_force_float32": True,
            "tie_word_embeddings": False, "weight_mode": "single", "mode": "inference", "chunk_size": 16,
            "chunkwise_kernel": "chunkwise--native_autograd", "sequence_kernel": "native_sequence__native",
            "step_kernel": "native", "inference_state_dtype": "float32", "return_last_states": True,
            "autocast_kernel_dtype": "bfloat16", "max_inference_chunksize": 64, "use_cache": True}
