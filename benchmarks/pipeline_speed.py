"""The whole pipeline against a plain Keras script that only trains, on the same records, in one run.

Ours: `cxr run` in a fresh workspace (validation, three trainers, ensemble, four evaluations, four server checks, four pushes).
The alternative: benchmarks/plain_keras.py. Target: a ratio below 0.5.

usage: python benchmarks/pipeline_speed.py RECORDS [--config cpu] [--epochs 16] [--script-epochs N] [key=value …]

RECORDS is a folder that `cxr ingest` wrote. The script's epochs all cost the same (the first, which traces, is counted apart), so
`--script-epochs 3` measures three and extrapolates to `--epochs`; the output says so. With two, and the 1,009 radiographs of the README, a
quarter of an hour on 2 cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peak_memory

HERE = Path(__file__).parent


def run(command: list[str], label: str) -> tuple[float, float, str]:
    """Runs a command to its end; returns its seconds, its peak memory in bytes and its standard output."""
    print(f"$ {' '.join(command)}", flush=True)
    with tempfile.TemporaryFile("w+") as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=output, text=True)
        memory = peak_memory.wait(process)
        seconds = time.monotonic() - begin
        output.seek(0)
        text = output.read()
    print(text)
    if process.returncode not in (0, 3):  # 3: a gate refused, which takes as long
        sys.exit(f"{label} failed with exit code {process.returncode}")
    return seconds, memory, text


def main() -> None:
    """Measures both and prints them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--config", default="cpu")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--script-epochs", type=int, help="measure fewer epochs of the script and extrapolate")
    args = parser.parse_args()
    measured = min(args.script_epochs or args.epochs, args.epochs)

    with tempfile.TemporaryDirectory() as workspace:
        cxr = Path(sys.executable).with_name("cxr")
        fixed = [
            f"defaults.head_training.epochs={args.epochs}",
            "defaults.head_training.batch_size=16",
            "defaults.head_training.early_stopping=null",
        ]
        options = ["--config", args.config, "--data", args.records, "--workspace", workspace]
        ours, memory, _ = run([str(cxr), "run", *options, *fixed, *args.overrides], "the pipeline")
    script, _, output = run([sys.executable, str(HERE / "plain_keras.py"), args.records, "--epochs", str(measured)], "the script")
    epochs = json.loads(output.splitlines()[-1])["epoch_seconds"]
    rest = sum(statistics.median(seconds[1:] or seconds) * (args.epochs - measured) for seconds in epochs.values())

    how = "" if measured == args.epochs else f" ({measured} epochs measured: {script:.0f} s; {args.epochs - measured} extrapolated)"
    print(f"whole pipeline        {ours:8.0f} s, peak memory of its processes together {memory / 1e9:.1f} GB")
    print(f"plain Keras training  {script + rest:8.0f} s{how}")
    print(f"ratio                 {ours / (script + rest):8.2f}")


if __name__ == "__main__":
    main()
