"""The command line: `python train.py [fit|validate|test|predict] [-c FILE] [--model.… --data.… --trainer.…]`.

command          the program from its first word to its exit code
settings         one pass over flags, files and checkpoint; `arguments`, `configurations` and `latest` are its parts
app              Lightning's own command line, with what is different here; `parser` its parser, `flags` its help
trainer          the Trainer that the settings ask for, with `callbacks`, `added_callbacks` and `profiler`
run              name, seed, folder and loggers of a run
"""

from seqsum.cli.command import main

__all__ = ["main"]
