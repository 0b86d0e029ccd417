#!/usr/bin/env python3
"""Loss curves of training runs.   plot.py OUT.png LABEL=LOG.jsonl ...      # needs matplotlib"""

import json
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    figure, axes = plt.subplots(figsize=(7, 4), dpi=80)
    for number, argument in enumerate(sys.argv[2:]):
        label, _, path = argument.partition("=")
        lines = [json.loads(line) for line in open(path)]
        tokens = [line["tokens"] / 1e6 for line in lines]
        axes.plot(tokens, [line["held"] for line in lines], f"C{number}", label=f"{label}, held out")
        axes.plot(tokens, [line["train"] for line in lines], f"C{number}:", label=f"{label}, training (with dropout)")
    axes.set(xlabel="million tokens seen", ylabel="nats per token", ylim=(1.6, 3.2))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
