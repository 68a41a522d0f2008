"""Every pair of values of two options meets in a case of the default suite."""

import itertools

from tests.covering import cover, covering

AXES = ("abcde", "vwxyz", range(8))


def test_every_pair_of_values_is_in_a_case_and_few_cases_will_do():
    cases = cover(*AXES)
    for first, second in itertools.combinations(range(3), 2):
        met = {(case[first], case[second]) for case in cases}
        assert met == set(itertools.product(AXES[first], AXES[second]))
    assert 40 <= len(cases) < 60 < 200 == len(set(itertools.product(*AXES)))  # 5 × 8 pairs need 40 cases


def test_all_other_cases_are_slow():
    parameters = covering(*AXES)
    slow = {case.values for case in parameters if hasattr(case, "marks")}
    quick = {case for case in parameters if not hasattr(case, "marks")}
    assert quick == set(cover(*AXES))
    assert slow == set(itertools.product(*AXES)) - quick
