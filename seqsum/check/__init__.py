"""Is a cell right? Checks that say in words what is wrong with it: `check_cell` and `python -m seqsum.check`.

Each check is a function, named for what it shows, in `weights.py`, `shapes.py`, `contract.py`, `effects.py`,
`recurrence.py`, `gradients.py`, `training.py`, `equations/verdict.py` and, if asked for, `learning.py` and `speed.py`.
Depends on `seqsum.recurrent`, `seqsum.chance` and `seqsum.files`; its page draws, by `seqsum.figures`.
"""

from seqsum.check.report import Report
from seqsum.check.result import Fault, Result
from seqsum.check.run import check_cell

__all__ = ["Fault", "Report", "Result", "check_cell"]
