"""A look into a trained network, in Python and by `python -m seqsum.inspect`.

    from seqsum.inspect import evaluate, load, predict, report

    module, data, settings = load("logs/sum/version_0/checkpoints/best.ckpt")
    evaluate(module, data)["test/exact_final"]      # the metrics of `python train.py test`
    report(module, data).figures["confusion"]       # the figures of `python -m seqsum.inspect`
    predict(module, data, images="my_digits/")      # those of `python train.py predict`

load       a checkpoint as the module and the data it was trained on
evaluate   its metrics on the test split
report     its metrics, and figures of what it does
predict    what it makes of a user's own input

In a notebook, what `report` and `predict` return shows itself.
"""

from seqsum.inspect.look import evaluate, predict, report
from seqsum.inspect.restore import Restored, load
from seqsum.objectives import Look, Shown

__all__ = ["Look", "Restored", "Shown", "evaluate", "load", "predict", "report"]
