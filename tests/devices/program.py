"""`train.py` on a stand-in for Apple's GPUs: `python -m tests.devices.program FLAGS`."""

from seqsum.cli import main
from seqsum.objectives import masks
from tests.devices.stand_in import install

if __name__ == "__main__":
    library = install()
    masks.WITHOUT_FLOAT64.add("apple")
    main()
