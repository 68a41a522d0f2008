"""The command line: `python train.py [fit|validate|test|predict] [-c FILE] [--model.… --data.… --trainer.…]`.

command          runs the program and turns a user's mistakes into one line
settings         reads flags, files and checkpoint once; uses `arguments`, `configurations` and `latest`
app              adapts Lightning's CLI; `parser` is its parser, `flags` its help
trainer          chooses the Trainer's arguments; uses `callbacks`, `added_callbacks` and `profiler`
run              name, seed, folder and loggers of a run
"""

from seqsum.cli.command import main

__all__ = ["main"]
