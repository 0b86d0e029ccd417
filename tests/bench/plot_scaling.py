#!/usr/bin/env python3
"""Does decode cost grow as it should? Runs `glassbox bench` on models and context depths and plots the time of a token
against the bytes it must move (parallel to the floor where it is linear) and against the tokens in the context (a
straight line).

  tests/bench/plot_scaling.py build/release/glassbox -m 15m.gguf -m 135m.gguf -m 1.1b.gguf -d 0,512,1024,2000 \\
      --out docs/scaling.png

Prints the points and the straight lines through them; needs matplotlib for the picture alone. A point is the fastest of
its repetitions, and the bandwidth the best that any run measured: neighbours on the machine only make them slower.
"""
import argparse
import json
import pathlib
import subprocess


def bench(glassbox, model, depths, tokens, repetitions, extra):
    command = [glassbox, "bench", "-m", model, "-p", "0", "-n", str(tokens), "-d", depths, "-r", str(repetitions),
               "-o", "json", *extra]
    run = subprocess.run(command, stdout=subprocess.PIPE)
    if run.returncode != 0:
        raise SystemExit(run.returncode)  # it said why
    rows = json.loads(run.stdout)
    for row in rows:
        row["seconds"] = 1 / max(row["samples_ts"])
        row["tokens"] = row["n_depth"] + row["n_gen"] / 2  # in the context, on average
    return rows


def line_through(points):
    """Slope, intercept and R^2 of least squares; None where all x are one."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    if xx == 0 or yy == 0:
        return None
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return xy / xx, mean_y - xy / xx * mean_x, xy * xy / (xx * yy)


def plot(path, device, series, bandwidth):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (by_bytes, by_context) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for name, rows in series.items():
        times = [1e3 * row["seconds"] for row in rows]
        by_bytes.plot([row["bytes_per_token"] / 1e6 for row in rows], times, "o", label=name)
        by_context.plot([row["tokens"] for row in rows], [each / times[0] for each in times], "o-", label=name)
    span = [row["bytes_per_token"] for rows in series.values() for row in rows]
    floor = [min(span), max(span)]
    by_bytes.plot([b / 1e6 for b in floor], [1e3 * b / bandwidth for b in floor], "k--",
                  label=f"floor: {bandwidth / 1e9:.0f} GB/s")
    by_bytes.set(xscale="log", yscale="log", xlabel="MB that a token must move", ylabel="ms a token")
    by_context.set(xlabel="tokens in the context", ylabel="time of a token, over the first depth's", ylim=(0, None))
    for axes in (by_bytes, by_context):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"Decode on {device}")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("glassbox", help="the program")
    parser.add_argument("-m", "--model", action="append", required=True, help="may be given several times")
    parser.add_argument("-d", "--depths", default="0,256,512,1024", help="tokens in the context before the timed ones")
    parser.add_argument("-n", "--tokens", type=int, default=16, help="timed tokens")
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("--out", help="PNG, SVG or PDF to write")
    options, extra = parser.parse_known_args()  # what is not known here goes to glassbox bench

    series = {}
    for model in options.model:
        rows = bench(options.glassbox, model, options.depths, options.tokens, options.repetitions, extra)
        series[pathlib.Path(model).stem] = rows
    every = [row for rows in series.values() for row in rows]
    bandwidth = max(row["bandwidth"] for row in every)
    print(f"{'model':32} {'context':>8} {'MB/token':>10} {'ms/token':>10} {'bandwidth':>10}")
    for name, rows in series.items():
        for row in rows:
            print(f"{name:32} {row['tokens']:8.0f} {row['bytes_per_token'] / 1e6:10.2f} {1e3 * row['seconds']:10.3f} "
                  f"{row['bytes_per_token'] / row['seconds'] / bandwidth:10.1%}")
        if fit := line_through([(row["tokens"], 1e6 * row["seconds"]) for row in rows]):
            print(f"{name}: {fit[1]:.0f} us and {fit[0]:.4f} us for each token of context, R^2 {fit[2]:.4f}")
    if fit := line_through([(row["bytes_per_token"], row["seconds"]) for row in every]):
        print(f"all: {1e6 * fit[1]:.0f} us and the bytes at {1e-9 / fit[0]:.1f} GB/s, R^2 {fit[2]:.4f}")
    if options.out:
        plot(options.out, every[0]["device"], series, bandwidth)


if __name__ == "__main__":
    main()
