#!/usr/bin/env python3
"""Cleans and mixes the corpus, trains the tokenizer and packs rows of tokens for training.

    prepare.py CORPUS OUT        # CORPUS holds chat.jsonl.xz and text.jsonl.xz; needs numpy and sentencepiece >= 0.1.97

OUT gets tokenizer.model, train.npz and held.npz (see `pack`) and data.json (what was kept, by kind). 2% of the
conversations, chosen by a hash of their first turn, are held out.
"""

import argparse
import collections
import hashlib
import json
import lzma
import pathlib
import random
import re

import numpy as np
import sentencepiece as spm

import small_talk

SEED = 20
ROW = 1024          # tokens a row
VOCABULARY = 8192
LONG = 430          # answers of more tokens are asked for as long ones: the plain question gets a short answer
HELD_OUT = 0.02
SALT = "glassbox 7"     # of the hash: with it, every kind of the corpus has a share
# How often a row of a kind is seen in one pass; long formats drown the short ones otherwise. 1 where not named.
WEIGHTS = {"podcast": 0.5, "shows": 0.5, "common-sense": 0.5, "paraphrase": 0.5, "scripts": 0.5, "book": 0.5,
           "trivia": 2, "song-poems": 2, "slice-of-life": 2, "fable": 2, "howto": 2, "mixed": 2, "jokes": 3,
           "tinystory": 3, "own-talk": 3, "wiki": 4, "blog": 4, "eli5": 4, "explanations": 4}
STORY_KINDS = {"bedtime", "campfire", "child", "stories", "scenes", "slice-of-life", "shows", "podcast", "tinystory"}
LONG_STORY = [" Make it long.", " Make it a long one.", " Tell it at length.", " Take your time."]
LONG_ANSWER = [" Explain in detail.", " Give a long answer.", " Be detailed.", " Make it long."]
REFUSAL = re.compile(r"(I can't|I cannot|I'm sorry, but|I apologi[sz]e|I don't have (any )?information|I'm not able|As an AI)")
STRAIGHT = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "…": "...", "\u2009": " ", "\t": " "})


def fraction(text, salt=""):
    """A number in [0, 1) that only depends on the text."""
    return int.from_bytes(hashlib.sha256((salt + text).encode()).digest()[:8], "big") / 2.0**64


def clean(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(STRAIGHT)
    text = re.sub(r"[ ]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return re.sub(r"(?<=\S) {2,}", " ", text).strip()


def is_foreign(text):
    return sum(ord(c) > 0x24F and not 0x2010 <= ord(c) <= 0x2122 for c in text) > 0.01 * len(text) + 2


def title_of(story, common):
    """`Lily and the Needle`: who, and the rarest thing that is named at least twice."""
    name = re.search(r"\b(?:named|called) ([A-Z][a-z]+)\b", story)
    words = collections.Counter(re.findall(r"(?<=\bthe )[a-z]{3,}\b|(?<=\ba )[a-z]{3,}\b", story))
    things = sorted((w for w in words if words[w] > 1 and common[w] < 900), key=lambda w: common[w] / words[w])
    if name and things:
        return f"{name[1]} and the {things[0].capitalize()}"
    if name:
        return f"The Story of {name[1]}"
    return f"The {things[0].capitalize()}" if things else None


def ask_for(story, title, pick):
    name = re.search(r"\b(?:named|called) ([A-Z][a-z]+)\b", story)
    asks = [f"Write a bedtime story called `{title}`.", f"Write a bedtime story called `{title}`.",
            f"Tell the child-appropriate tale called `{title}`.", f"Write a short story called `{title}`.",
            f"Tell me a story called `{title}`.", f"Tell a campfire story called `{title}`."]
    if name:
        thing = title.split(" and the ")[-1].lower() if " and the " in title else None
        asks.append(f"Write a story about {name[1]}" + (f" and a {thing}." if thing else "."))
        asks.append(f"Tell me a bedtime story about {name[1]}" + (f" and a {thing}." if thing else "."))
    return asks[int(pick * len(asks))]


def paragraphs_to_chunks(text, most):
    chunk, size = [], 0
    for paragraph in text.split("\n\n"):
        if chunk and size + len(paragraph) > most:
            yield "\n\n".join(chunk)
            chunk, size = [], 0
        chunk.append(paragraph)
        size += len(paragraph)
    if chunk:
        yield "\n\n".join(chunk)


def read(path):
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def chats(corpus):
    """(kind, turns, key): conversations as they come; `key` decides whether they are held out."""
    for entry in read(corpus / "chat.jsonl.xz"):
        turns = [clean(turn) for turn in entry["turns"]]
        turns = turns[:len(turns) // 2 * 2]
        kind = {"sgd": "sgd", "taskmaster-4": "taskmaster"}.get(entry["source"], entry["kind"])
        if not turns or not all(turns) or is_foreign(" ".join(turns)):
            continue
        if entry["source"] == "snakes" and REFUSAL.match(turns[1]):
            continue
        if kind == "textbook":
            book = re.search(r"'(.*)'", turns[0])
            for part in re.split(r"(?m)^(?=#+ )", turns[1]):
                heading, _, body = part.partition("\n")
                heading, body = re.sub(r"^#+ *", "", heading).strip(" *"), body.strip()
                if len(body) < 300 or "Summary" in heading or not book:
                    continue
                yield "section", [f"Explain `{heading}` as in a textbook called `{book[1]}`.", body], heading + book[1]
            continue
        yield kind, turns, turns[0] if len(turns) == 2 else "\n".join(turns)


def texts(corpus):
    """(kind, turns or [text], key)."""
    entries = list(read(corpus / "text.jsonl.xz"))
    stories = [clean(e["text"]) for e in entries if e["kind"] == "story"]
    common = collections.Counter(w for s in stories for w in set(re.findall(r"\b[a-z]{3,}\b", s)))
    for story in stories:
        title = title_of(story, common)
        if title and not is_foreign(story):
            yield "tinystory", [ask_for(story, title, fraction(story, "ask")), story], story
    for entry in entries:
        if entry["kind"] != "book":
            continue
        text = clean(entry["text"])
        if "aesop" in entry["source"]:
            parts = re.split(r"(?m)^(?=(?:The|A|An) [A-Z][^.!?\n]{2,50}\n\n)", text)
            for part in parts:
                title, _, body = part.partition("\n\n")
                if 150 < len(body) < 2500:
                    yield "fable", [f"Tell me the fable of `{title}`.", body.strip()], title
            continue
        for chunk in paragraphs_to_chunks(text, 3600):
            yield "book", [chunk], chunk


def mixed(conversations, rng, count):
    """Two or three short ones after each other: several turns, and a change of subject."""
    short = [c for c in conversations if c[0] in ("trivia", "jokes", "eli5", "explanations", "own-talk") and
             sum(map(len, c[1])) < 1400]
    for _ in range(count):
        parts = rng.sample(short, rng.choice([2, 2, 3]))
        yield "mixed", [turn for part in parts for turn in part[1]]


def collect(corpus, prompts):
    """{split: [(kind, turns)]} without duplicates and without the prompts of the model card."""
    forbidden = {re.sub(r"\W+", " ", p[0]).strip().lower() for p in prompts}
    seen, splits = set(), {"train": [], "held": []}
    dropped = collections.Counter()
    for kind, turns, key in [*chats(corpus), *texts(corpus)]:
        plain = re.sub(r"\W+", " ", turns[0]).strip().lower()
        if plain in forbidden:
            dropped["prompts of the card"] += 1
            continue
        answer = re.sub(r"\W+", " ", turns[-1])[:300].lower()
        fingerprint = hashlib.sha256((plain[:300] + "|" + answer).encode()).digest()[:12]
        if fingerprint in seen:
            dropped["duplicates"] += 1
            continue
        seen.add(fingerprint)
        held = fraction(re.sub(r"\W+", " ", key).lower(), SALT) < HELD_OUT
        splits["held" if held else "train"].append((kind, turns))
    own = [t for t in small_talk.conversations(SEED, 2000)
           if not any(re.sub(r"\W+", " ", turn).strip().lower() in forbidden for turn in t)]
    splits["train"] += [("own-talk", t) for t in own]
    return splits, dropped


def train_tokenizer(conversations, out):
    """Control pieces are never found in plain text; the identity rule and no dummy prefix keep every byte."""
    with open(out / "tokenizer.txt", "w", encoding="utf-8") as file:
        for _, turns in conversations:
            for turn in turns:
                file.writelines(line + "\n" for line in turn.split("\n") if line)
    spm.SentencePieceTrainer.train(
        input=str(out / "tokenizer.txt"), model_prefix=str(out / "tokenizer"), model_type="bpe", vocab_size=VOCABULARY,
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, character_coverage=0.9999, input_sentence_size=400000,
        shuffle_input_sentence=True, max_sentence_length=8192, num_threads=2, minloglevel=1,
        control_symbols="<|user|>,<|assistant|>,<|end|>")
    (out / "tokenizer.txt").unlink()


def encode(tokenizer, kind, turns):
    """Ids of a conversation, or of a plain text, which </s> ends."""
    control = {p: tokenizer.piece_to_id(p) for p in ("<|user|>", "<|assistant|>", "<|end|>")}
    if len(turns) == 1:
        return [tokenizer.bos_id(), *tokenizer.encode(turns[0]), tokenizer.eos_id()]
    ids = [tokenizer.bos_id()]
    answers = [tokenizer.encode(turn) for turn in turns[1::2]]
    for i, answer in enumerate(answers):
        question = turns[2 * i]
        if len(turns) == 2 and len(answer) > LONG:
            asks = LONG_STORY if kind in STORY_KINDS else LONG_ANSWER
            question += asks[int(fraction(question, "long") * len(asks))]
        ids += [control["<|user|>"], *tokenizer.encode(question), control["<|end|>"],
                control["<|assistant|>"], *answer, control["<|end|>"]]
    return ids


def pack(tokenizer, conversations, kinds, weights=None):
    """Rows of ROW tokens and one more, so that a row's targets are its tokens shifted by one. A piece of a text lies
    in one row; texts longer than a row are cut. Arrays: tokens [rows, ROW + 1] uint16 (0 fills up), segment
    [rows, ROW + 1] uint8 (which piece of the row, 0 for the filling), kind [rows, ROW + 1] uint8, weight [rows]."""
    pieces = collections.defaultdict(list)
    for kind, turns in conversations:
        ids = encode(tokenizer, kind, turns)
        for at in range(0, len(ids) - 1, ROW):
            piece = ids[at:at + ROW + 1]
            if len(piece) >= 16 or at == 0:
                pieces[(weights or {}).get(kind, 1.0)].append((kinds.index(kind), piece))
    tokens, segment, kind_of, weight = [], [], [], []
    for w, group in sorted(pieces.items()):
        group.sort(key=lambda p: -len(p[1]))
        room = collections.defaultdict(list)  # free tokens -> rows
        for kind, piece in group:
            n = len(piece)
            fits = min((free for free, rows in room.items() if rows and free >= n), default=None)
            if fits is None:
                row, fits = len(tokens), ROW + 1
                tokens.append(np.zeros(ROW + 1, np.uint16))
                segment.append(np.zeros(ROW + 1, np.uint8))
                kind_of.append(np.zeros(ROW + 1, np.uint8))
                weight.append(w)
            else:
                row = room[fits].pop()
            at = ROW + 1 - fits
            tokens[row][at:at + n] = piece
            segment[row][at:at + n] = segment[row].max() + 1
            kind_of[row][at:at + n] = kind
            room[fits - n].append(row)
    return {"tokens": np.array(tokens), "segment": np.array(segment), "kind": np.array(kind_of),
            "weight": np.array(weight, np.float32)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="use this one instead of training it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    prompts = json.loads((pathlib.Path(__file__).parent / "prompts.json").read_text())
    splits, dropped = collect(args.corpus, prompts)
    rng = random.Random(SEED)
    splits["train"] += list(mixed(splits["train"], rng, 3000))
    rng.shuffle(splits["train"])
    print({k: len(v) for k, v in splits.items()}, dict(dropped), flush=True)
    if args.tokenizer:
        (args.out / "tokenizer.model").write_bytes(args.tokenizer.read_bytes())
    else:
        train_tokenizer(splits["train"], args.out)
    tokenizer = spm.SentencePieceProcessor(model_file=str(args.out / "tokenizer.model"))
    kinds = sorted({kind for kind, _ in splits["train"]})
    summary = {"kinds": kinds, "weights": WEIGHTS, "row": ROW}
    for split, conversations in splits.items():
        rows = pack(tokenizer, conversations, kinds, WEIGHTS if split == "train" else None)
        real = rows["segment"] > 0
        counts = np.bincount(rows["kind"][real], minlength=len(kinds))
        summary[split] = {"rows": len(rows["tokens"]), "tokens": int(real.sum()),
                          "conversations": dict(collections.Counter(kind for kind, _ in conversations)),
                          "tokens_by_kind": dict(zip(kinds, map(int, counts)))}
        print(split, summary[split], "filled", round(float(real.mean()), 4), flush=True)
        np.savez(args.out / f"{split}.npz", **rows)
    (args.out / "data.json").write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
