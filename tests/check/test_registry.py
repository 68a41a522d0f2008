"""Checks don't get in each other's way, and what they find becomes a result."""

import json

import pytest

from seqsum import LSTMCell, check_cell
from seqsum.check import Report, Result
from seqsum.check.making import make_subject
from seqsum.check.registry import CHECKS, Check, run_check
from seqsum.check.run import ordered_checks


def make_check(run, needs=()):
    return Check(run.__name__, "a title", run, needs, "what it shows", "contract")


def test_each_check_gets_a_copy_of_its_own():
    def spoil(subject):
        subject.cell.weight_hh.data.zero_()
        subject.pictures["left"] = 1

    def look(subject):
        assert subject.cell.weight_hh.any()
        assert not subject.pictures

    subject = make_subject(LSTMCell(3, 5), "lstm")
    assert run_check(make_check(spoil), subject, {}).data == {"left": 1}
    assert run_check(make_check(look), subject, {}).status == "passed"


def test_an_error_within_a_check_is_a_finding():
    def stumble(subject):
        raise ZeroDivisionError("by nothing")

    result = run_check(make_check(stumble), make_subject(LSTMCell, "lstm"), {})
    assert result.status == "failed"
    assert result.message == "ZeroDivisionError: by nothing, raised here"
    assert "test_registry.py" in result.where


def test_every_check_is_made_in_order_and_needs_only_earlier_ones():
    checks = ordered_checks(learn=True)
    assert sorted(check.name for check in checks) == sorted(check.name for check in CHECKS)
    seen = set()
    for check in checks:
        assert seen.issuperset(check.needs), check.name
        seen.add(check.name)


def test_a_report_is_a_sequence_that_machines_can_read():
    report = check_cell(LSTMCell, like="lstm")
    assert [result.check for result in report] == ["made", *(check.name for check in ordered_checks(learn=False))]
    assert report[0].status == "passed"
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))
    assert report.raise_for_failures() is None
    with pytest.raises(KeyError, match="'nothing' is none of"):
        report.find("nothing")


@pytest.mark.parametrize(("noted", "said"), [(0, ""), (1, ", with 1 remark"), (2, ", with 2 remarks")])
def test_the_verdict_of_a_right_cell_counts_the_remarks(noted, said):
    results = [Result("a", "a", "passed"), *[Result("b", "b", "noted")] * noted]
    assert Report("MyLSTM", None, tuple(results), 1.0).verdict == f"is right{said}"


def test_the_verdict_names_what_failed_first():
    results = [Result(title, title, "passed" if title == "a" else "failed") for title in ("a", "b", "c")]
    assert Report("MyLSTM", None, tuple(results), 1.0).verdict == "2 of 3 checks failed. Mend first: b"
