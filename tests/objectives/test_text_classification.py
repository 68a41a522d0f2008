"""One label a text: its loss and accuracy, and what is shown of evaluations and of a user's own texts."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from seqsum.data import Batch
from seqsum.errors import InputError
from seqsum.figures.page import make_files, mark_up
from seqsum.objectives import Evaluation, Look, Prediction, TextClassification, text_classification_shown
from seqsum.objectives.evidence import LONGEST
from seqsum.objectives.mistakes import surest_mistakes
from seqsum.objectives.text_classification_shown import COLOURED, NAMELESS, PADDED, PRINTED
from tests.drawn import draw_nothing
from tests.objectives.batches import labelled
from tests.objectives.texts import Texts, WeightOfWords


def test_two_classes_have_one_output_and_more_have_one_each():
    assert [TextClassification(*given).output_size for given in ((), (2, False), (3,))] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"`sigmoid` \(=true\) needs"):
        TextClassification(3, sigmoid=True)


def test_loss_and_accuracy_are_those_of_the_one_label():
    outputs, batch = torch.tensor([[[2.0]], [[-1.0]], [[0.5]]]), labelled(torch.tensor([[1], [0], [0]]))
    expected = sum(math.log(1 + math.exp(odds)) for odds in (-2, -1, 0.5)) / 3
    assert TextClassification().loss(outputs, batch).item() == pytest.approx(expected)
    metrics = TextClassification().metrics()
    metrics.update(outputs, batch.targets)
    assert {name: value.item() for name, value in metrics.compute().items()} == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize(("outputs", "targets"), [(4, 1), (1, 4), (4, 4)])
def test_an_output_for_every_step_is_refused_with_what_to_set(outputs, targets):
    with pytest.raises(InputError, match=rf"not {outputs} and {targets}: set `--model\.readout`"):
        TextClassification().loss(torch.zeros(2, outputs, 1), labelled(torch.zeros(2, targets, dtype=torch.long)))


def test_the_task_is_described_with_the_names_of_the_labels():
    assert TextClassification().describe(Texts(["good"])) == "Trained on small texts to tell no from yes"


# A test --------------------------------------------------------------------------------------------------

TEXTS = ["good", "bad", "good bad good new", "bad bad <script>", "new", "good good good"]
LABELS = [1, 1, 1, 1, 1, 0]
# log-odds 2, -3, 1.5, -5.5, 0.5, 6, with padding masked: wrong are the second, the fourth and the last


def evaluation(split: str = "test", of_all: bool = False, masked: bool = True, network: nn.Module | None = None):
    data, network = Texts(TEXTS, steps=4, masked=masked), network or WeightOfWords()
    batches = []
    for rows in (torch.tensor([[3], [0], [5]]), torch.tensor([[4], [1], [2]])):
        made = [data.as_batch(data.text_of(split, row)) for row in rows.flatten().tolist()]
        mask = torch.cat([batch.mask for batch in made]) if masked else None
        labels = torch.tensor(LABELS)[rows]
        served = torch.cat([rows, rows]) if of_all else rows
        inputs = torch.cat([batch.inputs for batch in made])
        batches.append(Batch(inputs, labels, mask, torch.ones_like(labels, dtype=torch.bool), served))
    outputs = [network(batch) for batch in batches]
    bare = [batch._replace(inputs=batch.inputs[:0]) for batch in batches]
    return Evaluation(split, network, data, batches[0], bare, outputs)


def page_of(sections) -> str:
    return make_files("Page", "Lead", sections)["index.html"].decode()


def test_mistakes_come_with_the_surest_first():
    found = evaluation()
    places = surest_mistakes(found, lambda outputs: torch.cat([0 * outputs, outputs], -1))
    rows = torch.cat([batch.rows for batch in found.batches]).flatten()
    assert rows[places].tolist() == [5, 3, 1]


def test_mistakes_of_both_classes_are_ranked_by_how_sure_they_were():
    """By the difference of the logits: for one output, that of class 0 is 0."""
    logits = torch.tensor([-0.5, 3.0, -2.0, 1.0, -4.0, 0.25]).view(6, 1, 1)
    targets = torch.tensor([1, 0, 1, 0, 0, 0]).view(6, 1)  # all but the fifth are wrong
    batch = Batch(torch.zeros(6, 1), targets)
    found = Evaluation("test", torch.nn.Identity(), None, batch, [batch], [logits])
    places = surest_mistakes(found, lambda outputs: torch.cat([0 * outputs, outputs], -1))
    assert places.tolist() == [1, 2, 3, 0, 5]


def test_mistakes_of_many_classes_are_ranked_by_the_probability_of_the_answer():
    generator = torch.Generator().manual_seed(0)
    logits, targets = 9 * torch.randn(200, 1, 7, generator=generator), torch.zeros(200, 1, dtype=torch.long)
    batch = Batch(torch.zeros(200, 1), targets)
    places = surest_mistakes(Evaluation("test", torch.nn.Identity(), None, batch, [batch], [logits]), lambda of: of)
    sure = logits[places, 0].double().softmax(-1).max(-1).values
    assert torch.equal(sure, sure.sort(descending=True).values)
    assert set(places.tolist()) == set(logits[:, 0].argmax(-1).nonzero().flatten().tolist())
    by_gap = logits[places, 0].topk(2).values
    assert not torch.equal(by_gap[:, 0] - by_gap[:, 1], (by_gap[:, 0] - by_gap[:, 1]).sort(descending=True).values)


def test_figures_of_a_test_have_names_and_those_of_a_validation_no_mistakes():
    figures = TextClassification().figures(evaluation())
    assert set(figures) == {"accuracy_by_length", "surest_mistakes"}
    texts = [text.get_text() for text in figures["surest_mistakes"].axes[0].texts]
    assert {text for text in texts if text.endswith(".txt")} == {"1.txt", "3.txt", "5.txt"}
    assert "✗ no 0.953, is yes" in texts
    assert set(TextClassification().figures(evaluation("val"))) == {"accuracy_by_length"}


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({}, [3, 1, 3, 1, 1, 4]),  # of the words, in the order of the batches
        ({"masked": False}, [3, 1, 3, 1, 1, 4]),
        ({"of_all": True}, [3, 1, 3, 1, 1, 4]),  # of which texts is not known, but of how many steps
        ({"of_all": True, "masked": False}, [4] * 6),
    ],
)
def test_accuracy_by_length_takes_each_answer_with_the_length_of_its_text(monkeypatch, options, lengths):
    draw_nothing(monkeypatch, text_classification_shown, "plot_accuracy_by_length")
    given = TextClassification().figures(evaluation("val", **options))["accuracy_by_length"].given
    assert given.lengths.tolist() == lengths
    assert given.right.tolist() == [False, True, False, True, False, True]


def test_where_processes_share_a_split_texts_are_not_named():
    texts = [
        text.get_text()
        for text in TextClassification().figures(evaluation(of_all=True))["surest_mistakes"].axes[0].texts
    ]
    assert texts[0] == NAMELESS
    assert not any(text.endswith(".txt") for text in texts)
    page = page_of(TextClassification().report(evaluation(of_all=True), Look()))
    assert NAMELESS in page
    assert ".txt" not in page


def test_page_of_a_test_shows_mistakes_and_other_texts_word_by_word():
    sections = TextClassification().report(evaluation(), Look(sequences=2))
    by_title = {section.title: section for section in sections}
    rows = by_title["Mistakes that the network was surest of"].table.rows
    assert rows == [
        ("5.txt", "no", "yes 0.998", "good good good"),
        ("3.txt", "yes", "no 0.996", "bad bad <script>"),
        ("1.txt", "yes", "no 0.953", "bad"),
    ]
    mistakes = by_title["Mistakes, word by word"].html
    named = r"<strong>(.*?)</strong>: (\w+) \(label: (\w+)\)"
    assert re.findall(named, mistakes) == [("5.txt", "yes", "no"), ("3.txt", "no", "yes")], "as many as were asked for"
    assert "</strong>: no (label: yes), probability 0.996; read: all 3 words" in mistakes
    assert '−3.00, then yes with probability 0.002"' in mistakes
    assert "&lt;script&gt;</span>" in mistakes
    others = by_title["Other texts"].html
    assert re.findall(named, others) == [("3.txt", "no", "yes"), ("0.txt", "yes", "yes")]
    page = page_of(sections)
    assert "<script" not in page
    assert "http" not in page, "a page stands alone"


def test_texts_read_alone_differ_from_those_with_padding_and_it_is_said():
    page = page_of(TextClassification().report(evaluation(masked=False), Look()))
    assert PADDED in page
    assert "padding, which it reads too: +" in page


def test_without_a_mistake_it_is_said():
    faultless = evaluation()
    right = [
        batch._replace(targets=(outputs[..., 0] > 0).long())
        for batch, outputs in zip(faultless.batches, faultless.outputs, strict=True)
    ]
    faultless = faultless._replace(batches=right)
    assert set(TextClassification().figures(faultless)) == {"accuracy_by_length"}
    assert "There is no mistake." in page_of(TextClassification().report(faultless, Look()))


# A user's own texts --------------------------------------------------------------------------------------


class Plain(nn.Module):
    def forward(self, batch: Batch):
        return WeightOfWords()(batch)


def show(texts: list[str], network: nn.Module | None = None, **options):
    data, network = Texts(texts, **options), network or WeightOfWords()
    batches = [data.as_batch(text) for text in data.own.texts]
    answers = [TextClassification().predict(network, batch) for batch in batches]
    return TextClassification().show(Prediction(network, data, batches, answers))


def test_every_text_has_its_answer_and_its_probability():
    shown = show(["good bad", "good new"])
    assert shown.tables[0].rows == [
        ("0.txt", "no", "0.731", "all 2 words", "0"),
        ("1.txt", "yes", "0.924", "all 2 words", "1"),
    ]
    assert [text.plain.splitlines()[0] for text in shown.texts] == [
        "0.txt: no, probability 0.731; read: all 2 words",
        "1.txt: yes, probability 0.924; read: all 2 words",
    ]
    assert shown.lines == []
    page = page_of(shown.page)
    assert '+2.00, then yes with probability 0.881"' in page
    assert "http" not in page


def test_colours_of_all_texts_are_on_one_scale():
    """A word that moves an answer by 0.5 is paler than one that moves it by 2, though in a text of its own."""
    shown = show(["new", "good"])
    on_page = re.findall(r'<span title="[^"]*" style="background: ([^;]+)', shown.page[1].html)
    printed = [span.style.bgcolor.name for text in shown.texts for span in text.spans if span.style != "bold"]
    assert on_page == printed
    assert len(set(printed)) == 2


def test_a_text_of_unknown_words_is_warned_of_by_name():
    shown = show(["good", "new newer"])
    assert shown.lines == ["Warning: 1.txt: the network knows none of its words, so this answer means nothing"]
    assert shown.lines[0] in page_of(shown.page)


def test_a_network_that_can_not_be_asked_after_every_word_says_so():
    shown = show(["good"], Plain())
    assert shown.tables[0].rows == [("0.txt", "yes", "0.881", "all 1 words", "0")]
    assert shown.texts == []
    assert shown.lines == [
        "This network can't be asked after every word, which needs a method `by_step`: no words are coloured."
    ]
    assert mark_up(shown.lines[0]) in page_of(shown.page)


def test_texts_whose_words_are_not_shown_are_named():
    shown = show(["good"] * (COLOURED + 1))
    assert len(shown.tables[0].rows) == COLOURED + 1
    assert page_of(shown.page).count("<strong>") == COLOURED
    assert [text.plain[:5] for text in shown.texts] == [f"{place}.txt" for place in range(PRINTED)]
    assert shown.lines == [
        f"Words are coloured in the first {COLOURED} of {COLOURED + 1} texts only",
        f"The words of {PRINTED} texts are shown here, those of {COLOURED} on the page",
    ]
    shown = show(["good " * (LONGEST + 1)])
    assert shown.lines == ["0.txt: its words are not coloured, since the network read more than 1,000 of them"]


def test_a_flag_of_the_trainer_may_limit_the_texts():
    data = Texts(["good", "bad"])
    batches = [data.as_batch(data.own.texts[0])]
    shown = TextClassification().show(Prediction(WeightOfWords(), data, batches, [torch.tensor([[1]])]))
    assert [row[0] for row in shown.tables[0].rows] == ["0.txt"]
