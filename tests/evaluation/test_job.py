"""Scoring in worker processes with a journal: the same scores, and what is done is not done again."""

import dataclasses
import json
import math

import pytest

import medseg
from medseg.batch.job import Report
from medseg.batch.journal import NAME
from medseg.evaluation.case import CaseResult, Settings, read_origin, score_files
from medseg.evaluation.cohort import score_cohort
from medseg.evaluation.job import ScoreCases, case_of, pair_of, result_of
from medseg.evaluation.pairing import match_files
from medseg.registry import default_registry

SETTINGS = Settings(metrics=("dice", "hd95"), labels={1: "organ", 2: "lesion"}, empty="inf", lesions=True)


@pytest.fixture
def pairs(cohort):
    return match_files(cohort / "good", cohort / "truth", registry=default_registry(), model="good").pairs


def test_scores_come_back_from_a_journal_as_they_went_in(pairs, tmp_path):
    job = ScoreCases(settings=json.loads(json.dumps(dataclasses.asdict(SETTINGS))))
    seen_infinite = False
    for pair in pairs:
        case = case_of(pair)
        assert pair_of(case) == pair
        report = job.write(case, job.work(case, job.read(case), smaller=False, progress=None), tmp_path)
        stored = json.loads(
            json.dumps(report.result), parse_constant=lambda word: pytest.fail(f"{word} is no JSON")
        )
        result = result_of(Report(result=stored))
        expected = score_files(pair, SETTINGS, registry=default_registry())
        assert repr(dataclasses.replace(expected, origin={})) == repr(result)
        seen_infinite |= any(math.isinf(row.value) for row in result.scores)
    assert seen_infinite


def by_case(results):
    return {result.case: repr(result) for result in results}


def test_a_journal_keeps_what_is_done_unless_an_input_is_another(pairs, tmp_path, cohort):
    plain = by_case(score_cohort(pairs, SETTINGS))
    first = by_case(score_cohort(pairs, SETTINGS, folder=tmp_path))
    done = (tmp_path / NAME).read_text().count('{"done":')
    again = by_case(score_cohort(pairs, SETTINGS, folder=tmp_path, workers=2))
    assert first == again == plain
    assert (tmp_path / NAME).read_text().count('{"done":') == done == len(pairs)
    swapped = [dataclasses.replace(pairs[0], predicted=cohort / "poor" / "case0.nii.gz"), *pairs[1:]]
    third = by_case(score_cohort(swapped, SETTINGS, folder=tmp_path))
    assert {case for case in third if third[case] != plain[case]} == {"case0"}
    assert (tmp_path / NAME).read_text().count('{"done":') == done + 1


def test_a_file_that_is_refused_does_not_stop_the_others(pairs, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"no volume")
    broken = dataclasses.replace(pairs[2], predicted=tmp_path / "bad.nii.gz")
    results = list(score_cohort([*pairs[:2], broken], SETTINGS, workers=2))
    assert sum(isinstance(result, CaseResult) for result in results) == 2
    (refusal,) = [result for result in results if not isinstance(result, CaseResult)]
    assert (refusal.case, refusal.model) == (broken.case, "good")
    assert refusal.reason.startswith("bad.nii.gz: ")


def test_other_settings_in_the_same_folder_are_refused(pairs, tmp_path):
    list(score_cohort(pairs[:2], SETTINGS, folder=tmp_path))
    other = dataclasses.replace(SETTINGS, empty="exclude")
    with pytest.raises(medseg.OptionError, match="settings: empty: inf there, exclude now"):
        list(score_cohort(pairs[:2], other, folder=tmp_path))


def test_times_of_a_cohort_s_predictions_are_found_in_its_journal(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"model": "tiny:bright"}))
    line = {"done": "a", "measured": {"seconds": {"read": 1.0, "network": 2.0}, "peak_memory_bytes": 7}}
    (tmp_path / NAME).write_text(json.dumps(line) + "\n")
    origin = read_origin(tmp_path / "a.nii.gz", default_registry())
    assert origin == {"seconds": 3.0, "peak_memory_bytes": 7, "model": "tiny:bright"}


def test_a_journal_that_was_written_again_is_read_again(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"model": "tiny:bright"}))
    line = {"done": "a", "measured": {"seconds": {"network": 2.0}, "peak_memory_bytes": 7}}
    for seconds in (2.0, 35.5):
        line["measured"]["seconds"]["network"] = seconds
        with (tmp_path / NAME).open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        assert read_origin(tmp_path / "a.nii.gz", default_registry())["seconds"] == seconds
