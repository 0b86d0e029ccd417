#!/usr/bin/env python3
"""Trains one model on packed rows (prepare.py), on its own or also on a teacher's distributions.

    train.py DATA OUT --shape llama-teacher ...                      # 1. a larger teacher, which is not shipped
    train.py DATA OUT --shape llama-21m --targets FILE --teacher DIR ...   # 2. students: Hinton et al. 2015

OUT gets config.json and model.safetensors in Hugging Face layout (bfloat16), log.jsonl and result.json. Needs torch
>= 2.11 with a GPU, or any torch on a CPU for toy shapes.
"""

import argparse
import inspect
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

import formats
import models
from optim import Optimizer

TOP = 32            # teacher probabilities kept for each token; the rest is one more class
EVAL_ROWS = 2000


class Rows:
    """Packed rows on the device."""

    def __init__(self, path, device):
        data = np.load(path)
        self.tokens = torch.from_numpy(data["tokens"].astype(np.int16)).to(device)  # below 32768
        self.segment = torch.from_numpy(data["segment"].astype(np.int16)).to(device)
        self.kind = torch.from_numpy(data["kind"].astype(np.int16)).to(device)
        self.weight = data["weight"]

    def epoch(self, rng):
        """Row numbers of one pass, shuffled: a row of weight 2.5 comes two or three times."""
        times = np.floor(self.weight + rng.random(len(self.weight))).astype(np.int64)
        return rng.permutation(np.repeat(np.arange(len(times)), times))

    def batch(self, index):
        tokens, segment = self.tokens[index].long(), self.segment[index]
        real = (segment[:, 1:] > 0) & (segment[:, 1:] == segment[:, :-1])
        return tokens[:, :-1], segment[:, :-1], tokens[:, 1:], real


class Masks:
    """How attention keeps the texts of a row apart: `masks(segment)` is what the model takes beside the tokens."""

    def __init__(self, shape, rows, length, device):
        self.is_llama, self.cuda, self.length = shape["model_type"] == "llama", device == "cuda", length
        self.attend = models.plain_attention
        if self.is_llama and self.cuda:
            from torch.nn.attention.varlen import varlen_attn
            causal = {"is_causal": True} if "is_causal" in inspect.signature(varlen_attn).parameters else \
                {"window_size": (-1, 0)}

            def attend(q, k, v, starts):
                """All rows as one long one; `starts` are the positions where texts begin, and the end."""
                b, heads, t, d = q.shape
                q, k, v = (x.transpose(1, 2).reshape(b * t, -1, d) for x in (q, k, v))
                groups = heads // k.shape[1]
                k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
                return varlen_attn(q, k, v, starts, starts, length, length, **causal).view(b, t, heads, d).transpose(1, 2)

            self.attend = attend

    def __call__(self, segment):
        if not self.is_llama:
            return segment
        if not self.cuda:
            return models.plain_mask(segment)
        begins = torch.ones_like(segment, dtype=torch.bool)
        begins[:, 1:] = segment[:, 1:] != segment[:, :-1]
        at = begins.flatten().nonzero().squeeze(1)
        size = next(s for s in (1024, 4096, 16384, segment.numel()) if s >= len(at))  # few sizes: each is compiled for
        starts = torch.full((size + 1,), segment.numel(), dtype=torch.int32, device=segment.device)
        starts[:len(at)] = at
        return starts


def losses(logits, targets):
    """Cross-entropy of each token [rows, T], and the logarithm of the partition sum."""
    logits = logits.float()
    total = logits.logsumexp(-1)
    return total - logits.gather(-1, targets[..., None]).squeeze(-1), total


def distillation(logits, total, top, probability):
    """Cross-entropy with the teacher's distribution: its likeliest tokens, and all others as one class."""
    mine = logits.gather(-1, top).float() - total[..., None]
    rest = (1 - probability.sum(-1)).clamp(min=0)
    mine_rest = (1 - mine.exp().sum(-1)).clamp(min=1e-4).log()
    return -(probability * mine).sum(-1) - rest * mine_rest


class Trainer:
    def __init__(self, args, shape, vocabulary, train, held):
        self.args, self.device, self.train_rows, self.held_rows = args, args.device, train, held
        self.masks = Masks(shape, args.rows, train.tokens.shape[1] - 1, args.device)
        torch.manual_seed(args.seed)
        self.model = models.build(shape, vocabulary, args.dropout, self.masks.attend).to(args.device)
        self.model.compute_dtype = torch.bfloat16 if args.device == "cuda" else None
        compile = (lambda f: torch.compile(f)) if args.device == "cuda" else (lambda f: f)
        self.loss = compile(self._loss)
        self.token_losses = compile(self._token_losses)
        self.predict = compile(self._predict)

    def autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def _loss(self, tokens, mask, targets, real, top=None, probability=None):
        with self.autocast():
            logits = self.model(tokens, mask)
        plain, total = losses(logits, targets)
        count = real.sum()
        plain = (plain * real).sum() / count
        if top is None:
            return plain, plain.detach()
        taught = (distillation(logits, total, top.long(), probability.float()) * real).sum() / count
        return (1 - self.args.taught) * plain + self.args.taught * taught, plain.detach()

    def _token_losses(self, tokens, mask, targets):
        with self.autocast():
            return losses(self.model(tokens, mask), targets)[0]

    def _predict(self, tokens, mask):
        with self.autocast():
            return torch.topk(self.model(tokens, mask).float().softmax(-1), TOP, sorted=False)

    def padded(self, index):
        """Batches of the one size that everything is compiled for, and how many rows of each count."""
        for at in range(0, len(index), self.args.rows):
            part = index[at:at + self.args.rows]
            yield np.resize(part, self.args.rows), len(part)

    @torch.no_grad()
    def evaluate(self, rows, index, kinds=None):
        """Mean loss over the tokens of `index`; with `kinds`, also by kind."""
        self.model.eval()
        size = len(kinds) if kinds else 1
        sums, counts = (torch.zeros(size, device=self.device, dtype=torch.float64) for _ in range(2))
        for part, n in self.padded(index):
            tokens, segment, targets, real = rows.batch(torch.from_numpy(part).to(self.device))
            loss = self.token_losses(tokens, self.masks(segment), targets)[:n][real[:n]].double()
            kind = rows.kind[torch.from_numpy(part[:n]).to(self.device)][:, 1:][real[:n]].long() if kinds else \
                torch.zeros_like(loss, dtype=torch.long)
            sums.index_add_(0, kind, loss)
            counts.index_add_(0, kind, torch.ones_like(loss))
        self.model.train()
        mean = float(sums.sum() / counts.sum())
        if not kinds:
            return mean
        return mean, {k: {"loss": float(s / c), "perplexity": math.exp(s / c), "tokens": int(c)}
                      for k, s, c in zip(kinds, sums.tolist(), counts.tolist()) if c}

    @torch.no_grad()
    def teach(self):
        """The teacher's likeliest tokens and their probabilities for every row: [rows, T, TOP]."""
        self.model.eval()
        rows, length = self.train_rows.tokens.shape[0], self.train_rows.tokens.shape[1] - 1
        top = torch.empty(rows, length, TOP, dtype=torch.int16, device=self.device)
        probability = torch.empty(rows, length, TOP, dtype=torch.float16, device=self.device)
        for part, n in self.padded(np.arange(rows)):
            tokens, segment, _, _ = self.train_rows.batch(torch.from_numpy(part).to(self.device))
            p, ids = self.predict(tokens, self.masks(segment))
            at = slice(int(part[0]), int(part[0]) + n)
            top[at], probability[at] = ids[:n].to(torch.int16), p[:n].half()
        return top, probability

    def run(self, taught):
        args, log = self.args, open(self.args.out / "log.jsonl", "w")
        optimizer = Optimizer(self.model, compile=self.device == "cuda")
        rng = np.random.default_rng(args.seed)
        order, held = np.zeros(0, np.int64), np.arange(len(self.held_rows.tokens))
        seen, step, progress, started, passes, logged = 0, 0, 0.0, None, 0, 0
        total = torch.zeros((), device=self.device)
        self.model.train()
        while progress < 1:
            if len(order) < args.rows:
                order = np.concatenate([order, self.train_rows.epoch(rng)])
                passes += 1
            part, order = order[:args.rows], order[args.rows:]
            index = torch.from_numpy(part).to(self.device)
            tokens, segment, targets, real = self.train_rows.batch(index)
            extra = (taught[0][index], taught[1][index]) if taught else ()
            loss, plain = self.loss(tokens, self.masks(segment), targets, real, *extra)
            loss.backward()
            rate = args.rate * min(1.0, (step + 1) / args.warmup, (1 - progress) / args.cooldown)
            optimizer.step(rate, args.decay)
            total += plain
            step += 1
            seen += args.rows * tokens.shape[1]
            if step == 5:  # compiled by now
                torch.cuda.synchronize() if self.device == "cuda" else None
                started, first = time.time(), seen
            progress = max(progress, step / args.steps)
            if started and args.limit and step % 20 == 0:
                torch.cuda.synchronize() if self.device == "cuda" else None
                progress = max(progress, (time.time() - started) / args.limit)
            if step % args.log == 0 or progress >= 1:
                entry = {"step": step, "tokens": seen, "passes": passes, "train": float(total) / (step - logged),
                         "rate": rate}
                logged = step
                total.zero_()
                entry["held"] = self.evaluate(self.held_rows, held)
                if started and time.time() > started:
                    entry["seconds"] = round(time.time() - started, 1)
                    entry["tokens_per_s"] = round((seen - first) / (time.time() - started))
                log.write(json.dumps(entry) + "\n")
                log.flush()
                print(json.dumps({k: round(v, 5) for k, v in entry.items()}), flush=True)
        return {"steps": step, "tokens_seen": seen, "passes": passes, "seconds": time.time() - (started or time.time())}


def save(out, model, shape, vocabulary, context):
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()}
    formats.write_safetensors(out / "model.safetensors", weights, bf16=True)
    (out / "config.json").write_text(json.dumps(models.config_json(shape, vocabulary, context), indent=2) + "\n")
    with torch.no_grad():  # what follows is about the rounded weights
        for value in model.state_dict().values():
            value.copy_(value.bfloat16())


def load(model, directory, device):
    model.load_state_dict({name: torch.from_numpy(value).to(device) for name, value in
                           formats.read_safetensors(directory / "model.safetensors").items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shape", choices=models.SHAPES, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--limit", type=float, default=0, help="seconds: the schedule ends by then")
    parser.add_argument("--rows", type=int, default=128, help="rows of 1024 tokens a step")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--cooldown", type=float, default=0.6, help="last part of the run, in which the rate falls to 0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=int, default=200, help="steps between two lines of the log")
    parser.add_argument("--init", type=pathlib.Path, help="directory of the model to go on from")
    parser.add_argument("--teacher", type=pathlib.Path, help="directory of the teacher")
    parser.add_argument("--targets", type=pathlib.Path, help="what the teacher says, made once and kept there")
    parser.add_argument("--taught", type=float, default=0.7, help="share of the teacher in the loss")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    summary = json.loads((args.data / "data.json").read_text())
    vocabulary, context = 8192, summary["row"]
    train, held = Rows(args.data / "train.npz", args.device), Rows(args.data / "held.npz", args.device)
    shape, taught = models.SHAPES[args.shape], None
    if args.targets and not args.targets.exists():
        config = json.loads((args.teacher / "config.json").read_text())
        teacher = Trainer(args, config, vocabulary, train, held)
        load(teacher.model, args.teacher, args.device)
        part = args.targets.with_suffix(".part")
        torch.save(teacher.teach(), part)
        part.rename(args.targets)
        del teacher
        print("taught", round(time.time() - begun, 1), "s", flush=True)
    if args.targets:
        taught = torch.load(args.targets, map_location=args.device)
    trainer = Trainer(args, shape, vocabulary, train, held)
    if args.init:
        load(trainer.model, args.init, args.device)
    print(args.shape, sum(p.numel() for p in trainer.model.parameters()), "parameters,", len(train.tokens), "rows",
          round(time.time() - begun, 1), "s", flush=True)
    result = trainer.run(taught)
    save(args.out, trainer.model, shape, vocabulary, context)
    loss, by_kind = trainer.evaluate(held, np.arange(len(held.tokens)), summary["kinds"])
    # Training rows, each kind weighted as it is in the held-out rows.
    sample = np.random.default_rng(7).permutation(len(train.tokens))[:EVAL_ROWS]
    seen = trainer.evaluate(train, sample, summary["kinds"])[1]
    shared = [kind for kind in by_kind if kind in seen]
    tokens = sum(by_kind[kind]["tokens"] for kind in shared)
    on_train, on_held = (sum(by_kind[k]["tokens"] * of[k]["loss"] for k in shared) / tokens for of in (seen, by_kind))
    result |= {"held_loss": loss, "held_perplexity": math.exp(loss), "train_loss": on_train, "gap": on_held - on_train,
               "by_kind": by_kind, "settings": {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in
                                                 vars(args).items() if k not in ("data", "out", "device")},
               "parameters": sum(p.numel() for p in trainer.model.parameters()), "torch": torch.__version__,
               "machine": torch.cuda.get_device_name() if args.device == "cuda" else "CPU"}
    (args.out / "result.json").write_text(json.dumps(result, indent=1))
    print(json.dumps({k: result[k] for k in ("held_perplexity", "train_loss", "gap", "seconds", "tokens_seen")}),
          {k: round(v["perplexity"], 2) for k, v in by_kind.items()}, round(time.time() - begun, 1), "s", flush=True)


if __name__ == "__main__":
    main()
