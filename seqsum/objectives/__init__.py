"""Objectives: an experiment's loss, its metrics, and how its outputs become answers.

An experiment is a DataModule, an objective and a YAML file; `SequenceModule` trains all of them.
"""

from seqsum.objectives.base import Objective
from seqsum.objectives.classification import Accuracy, Classification
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.increments import Increments, ReadingAccuracy
from seqsum.objectives.masks import masked_mean, scored_steps
from seqsum.objectives.metrics import StepMean, Sums, WeightedMean
from seqsum.objectives.next_sample import MeanSquaredError, NextSample
from seqsum.objectives.next_token import NextToken
from seqsum.objectives.recall import ExactRecall, Recall, RecalledAccuracy
from seqsum.objectives.restoration import Restoration
from seqsum.objectives.running_sum import ExactStep, MeanAbsoluteError, RunningSum
from seqsum.objectives.text_classification import TextClassification
from seqsum.objectives.word_prediction import FirstPlace, WordPrediction

__all__ = [
    "Accuracy",
    "Classification",
    "Evaluation",
    "ExactRecall",
    "ExactStep",
    "FirstPlace",
    "Increments",
    "Look",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NextSample",
    "NextToken",
    "Objective",
    "Prediction",
    "ReadingAccuracy",
    "Recall",
    "RecalledAccuracy",
    "Restoration",
    "RunningSum",
    "Shown",
    "StepMean",
    "Sums",
    "TextClassification",
    "WeightedMean",
    "WordPrediction",
    "masked_mean",
    "scored_steps",
]
