"""Train, validate, test or use a sequence model: `python train.py --help`."""

from seqsum.cli import main

if __name__ == "__main__":
    main()
