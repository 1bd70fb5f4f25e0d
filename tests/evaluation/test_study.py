"""Cohorts: matching, labels by name, lesions, worst cases, files, page and document."""

import csv
import dataclasses
import io
import json
import math
from collections import Counter

import jsonschema
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import medseg
from medseg import OptionError
from medseg.evaluation.case import Settings
from medseg.evaluation.document import SCHEMA_FILE, to_document
from medseg.evaluation.files import write_study
from medseg.evaluation.label_names import read_label_names, renumber
from medseg.evaluation.pairing import match_files
from medseg.evaluation.report_page import make_page
from medseg.evaluation.study import name_models, run_study
from medseg.evaluation.subgroups import read_attributes
from medseg.evaluation.tables import show_study
from medseg.registry import default_registry

LABELS = {1: "organ", 2: "lesion"}


@pytest.fixture(scope="session")
def study(cohort):
    return run_study(
        {"good": cohort / "good", "poor": cohort / "poor"},
        cohort / "truth",
        Settings(metrics=("dice", "hd95", "mean-iou"), labels=LABELS, lesions=True),
        attributes=read_attributes(cohort / "attributes.csv"),
    )


def test_every_case_has_a_row_for_every_label_and_states_are_counted(study):
    for model in ("good", "poor"):
        (summary,) = [s for s in study.summaries if (s.model, s.name, s.metric) == (model, "lesion", "hd95")]
        assert (summary.n, summary.n_missed, summary.n_false_alarm, summary.n_both_empty) == (7, 1, 1, 1)
    means = [s for s in study.summaries if s.name == "mean of labels" and s.metric == "dice"]
    assert [(s.n, s.n_missed, s.n_false_alarm, s.n_both_empty) for s in means] == [(8, 1, 1, 1)] * 2


def test_labels_of_the_cohort_are_in_every_case_without_being_named(cohort):
    scores = medseg.evaluate(cohort / "good", cohort / "truth", metrics=["dice", "volume-ml"])
    rows = scores.select(case="case6", label=2).rows
    assert [(row.metric, row.state) for row in rows] == [("dice", "both empty"), ("volume-ml", "both empty")]
    assert math.isnan(rows[0].value)
    assert rows[1].value == 0


def test_several_processes_give_the_same_table(cohort):
    one = medseg.evaluate(cohort / "good", cohort / "truth", metrics=["dice", "hd95"])
    two = medseg.evaluate(cohort / "good", cohort / "truth", metrics=["dice", "hd95"], workers=2)
    assert two.to_pandas().equals(one.to_pandas())


def test_the_worst_come_first(study):
    worst = study.worst("hd95", count=3)
    assert {row.state for row in worst[:2]} <= {"missed", "false alarm"}
    assert worst[0].value == pytest.approx(math.hypot(24, 20, 32))
    assert [row.value for row in study.worst("dice", count=4)] == [0, 0, 0, 0]


def test_the_better_model_wins(study):
    (organ,) = [c for c in study.comparisons if (c.metric, c.name) == ("dice", "organ")]
    assert (organ.first, organ.second, organ.wins, organ.losses, organ.n) == ("good", "poor", 8, 0, 8)
    assert organ.mean_difference > 0
    assert organ.rank_biserial == 1
    assert organ.p == pytest.approx(2 / 2**8)
    (distance,) = [c for c in study.comparisons if (c.metric, c.name) == ("hd95", "organ")]
    assert distance.mean_difference < 0
    assert distance.rank_biserial > 0


def test_groups_of_cases_have_their_own_summaries(study):
    sex, age, site = study.subgroups
    groups = [
        (s.group, s.n) for s in sex.summaries if (s.model, s.name, s.metric) == ("good", "organ", "dice")
    ]
    assert groups == [("sex = F", 4), ("sex = M", 4)]
    assert 0 < sex.p["good", "dice", "organ"] <= 1
    assert next(s.group for s in age.summaries) == "age = 40"
    assert site.unknown == ("case2",)


def test_lesions_are_listed_with_their_place_and_their_partner(study):
    ours = [r for r in study.lesions if (r.model, r.case, r.name) == ("good", "case0", "lesion")]
    assert [(r.side, r.state, r.partner) for r in ours] == [("truth", "found", 1), ("prediction", "right", 1)]
    assert ours[0].volume_ml == pytest.approx(4 * 4 * 3 * 2 / 1000)
    assert ours[0].centre_mm == pytest.approx((7.5, 7.5, 12))
    assert ours[1].centre_mm == pytest.approx((8.5, 7.5, 12))
    assert ours[0].iou == pytest.approx(3 / 5)
    assert ours[0].dice == pytest.approx(3 / 4)
    states = {(r.case, r.state) for r in study.lesions if (r.model, r.name) == ("good", "lesion")}
    assert ("case3", "false alarm") in states
    assert ("case5", "missed") in states


def test_files_hold_the_same_numbers(study, tmp_path):
    files = write_study(study, tmp_path / "out", page=lambda: "<p>page</p>")
    names = [path.name for path in files]
    assert names[-1] == "evaluation.json"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    by_csv = pd.read_csv(tmp_path / "out" / "scores.csv", keep_default_na=True)
    by_parquet = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert by_csv.value.to_numpy() == pytest.approx(by_parquet.value.to_numpy(), nan_ok=True, rel=0)
    assert by_parquet.value.to_numpy() == pytest.approx([r.value for r in study.scores], nan_ok=True, rel=0)
    with (tmp_path / "out" / "lesions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(study.lesions)
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert len(document["scores"]) == len(study.scores)
    with pytest.raises(OptionError, match="holds an evaluation; use --overwrite"):
        write_study(study, tmp_path / "out", page=lambda: "")
    write_study(study, tmp_path / "out", page=lambda: "", overwrite=True)


def test_nothing_is_written_if_the_page_cannot_be_made(study, tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_study(study, tmp_path / "out", page=lambda: 1 / 0)
    assert not (tmp_path / "out").exists()


def test_the_document_follows_its_schema_and_is_strict_json(study):
    document = to_document(study)
    text = json.dumps(document, allow_nan=False)
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "schema": "medseg-evaluation/0"}, schema)


def test_the_page_needs_no_other_file_and_shows_everything(study, cohort):
    page = make_page(study, images=cohort / "images")
    for heading in ("Summary", "Distributions", "Models against each other", "By sex", "Worst cases"):
        assert f"<h2>{heading}" in page
    assert page.count("<svg") >= 3 + 2 + 2  # distributions, models, volumes
    assert page.count("data:image/png;base64,") == 6
    assert "src=" not in page.replace('src="data:', "")
    assert "url(http" not in page
    assert "convention=max-directed" in page
    assert page == make_page(study, images=cohort / "images")


def test_names_are_shown_as_they_are(cohort, write_volume, tmp_path):
    array = np.zeros((6, 6, 6), np.uint8)
    array[2:4, 2:4, 2:4] = 1
    for folder in ("a", "b"):
        write_volume(tmp_path / folder / "<b>$x$.nii.gz", array)
    found = run_study({"": tmp_path / "a"}, tmp_path / "b", Settings(labels={1: "<i>$y"}))
    page = make_page(found)
    assert "<b>$x" not in page
    assert "&lt;b&gt;$x$" in page
    assert "<i>$y" not in page


def test_what_has_no_partner_is_listed(cohort, write_volume, tmp_path):
    array = np.ones((4, 4, 4), np.uint8)
    for name in ("a/one", "a/two", "b/one", "b/three"):
        write_volume(tmp_path / f"{name}.nii.gz", array)
    scores = medseg.evaluate(tmp_path / "a", tmp_path / "b", metrics=["dice"])
    assert (scores.unmatched_predictions, scores.unmatched_truths) == (("two",), ("three",))
    with pytest.raises(OptionError, match=r"no prediction has the name of a truth: .*holds one, two.*case0"):
        medseg.evaluate(tmp_path / "a", cohort / "truth")


def test_endings_of_names_can_be_left_out(write_volume, tmp_path):
    array = np.ones((4, 4, 4), np.uint8)
    write_volume(tmp_path / "a" / "sub" / "one_pred.nii.gz", array)
    write_volume(tmp_path / "b" / "sub_one_gt.nii.gz", array)
    registry = default_registry()
    matched = match_files(tmp_path / "a", tmp_path / "b", registry=registry, strip=["_pred", "_gt"])
    assert [pair.case for pair in matched.pairs] == ["sub_one"]
    write_volume(tmp_path / "a" / "sub" / "one.nii.gz", array)
    with pytest.raises(OptionError, match="are both the case sub_one"):
        match_files(tmp_path / "a", tmp_path / "b", registry=registry, strip=["_pred", "_gt"])


def test_a_refused_case_does_not_stop_the_others(cohort, write_volume, tmp_path):
    array = np.ones((4, 4, 4), np.uint8)
    write_volume(tmp_path / "a" / "one.nii.gz", array)
    write_volume(tmp_path / "b" / "one.nii.gz", array)
    write_volume(tmp_path / "a" / "two.nii.gz", array[:3])
    write_volume(tmp_path / "b" / "two.nii.gz", array)
    found = run_study({"": tmp_path / "a"}, tmp_path / "b", Settings())
    assert [r.case for r in found.refusals] == ["two"]
    assert found.refusals[0].reason.startswith("two.nii.gz: the grids differ")
    assert not found.complete
    assert {row.case for row in found.scores} == {"one"}
    document = to_document(found)
    assert document["cases"][1]["status"] == "refused"


def test_labels_are_matched_by_name_where_their_numbers_differ(write_volume, tmp_path):
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[1:3], truth[3:5] = 1, 2
    write_volume(tmp_path / "truth.nii.gz", truth)
    write_volume(tmp_path / "pred.nii.gz", np.take([0, 20, 10], truth))
    settings = Settings(
        metrics=("dice",),
        labels={1: "liver", 2: "spleen"},
        predicted_labels={20: "liver", 10: "spleen", 30: "kidney"},
    )
    found = run_study({"": tmp_path / "pred.nii.gz"}, tmp_path / "truth.nii.gz", settings)
    assert [(row.name, row.value) for row in found.scores] == [("liver", 1), ("spleen", 1)]
    write_volume(tmp_path / "pred.nii.gz", np.take([0, 30, 10], truth))
    found = run_study({"": tmp_path / "pred.nii.gz"}, tmp_path / "truth.nii.gz", settings)
    assert [row.state for row in found.scores] == ["missed", "compared"]
    assert found.scores.notes == {"truth": "labels that the truth does not name were left out: kidney"}
    write_volume(tmp_path / "pred.nii.gz", np.take([0, 31, 10], truth))
    found = run_study({"": tmp_path / "pred.nii.gz"}, tmp_path / "truth.nii.gz", settings)
    assert "holds the label 31, for which its table has no name" in found.refusals[0].reason


def test_labels_of_any_size_are_renumbered():
    predicted = medseg.Volume(np.array([[[0, 2**45, 7, 2**45]]]), np.eye(4), kind="labels")
    found, note = renumber(predicted, {2**45: "liver", 7: "spleen"}, {300: "liver"})
    assert found.array.tolist() == [[[0, 300, 0, 300]]]
    assert note == "labels that the truth does not name were left out: spleen"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.json", '{"0": "background", "1": "liver", "2": "spleen"}'),
        ("dataset.json", '{"labels": {"background": 0, "liver": 1, "spleen": 2}}'),
        ("record.json", '{"labels": [{"value": 1, "name": "liver"}, {"value": 2, "name": "spleen"}]}'),
        ("names.csv", "value,name\n0,background\n1,liver\n2,spleen\n"),
        ("bom.csv", "\ufeff1,liver\n2,spleen\n"),
        ("floats.csv", "# by pandas\n\nvalue,name\n1.0,liver\n2.0,spleen\n,\n"),
        ("names.tsv", "1\tliver\n2\tspleen\n"),
        ("slicer.ctbl", "# 3D Slicer\n0 background 0 0 0 0\n1 liver 200 100 0 255\n2 spleen 0 1 2 255\n"),
        ("snap.txt", '# ITK\n0 0 0 0 0 0 0 "Clear"\n1 255 0 0 1 1 1 "liver"\n2 0 255 0 1 1 1 "spleen"\n'),
    ],
)
def test_tables_of_labels(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_label_names(str(tmp_path / name)) == {1: "liver", 2: "spleen"}


def test_names_in_a_table_may_be_of_several_words(tmp_path):
    (tmp_path / "slicer.ctbl").write_text("# names\n\n1 left lung 1 2 3 255\n2 lobe 4 9 8 7 255\n")
    assert read_label_names(str(tmp_path / "slicer.ctbl")) == {1: "left lung", 2: "lobe 4"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "value,name\n1,liver\n1.5,spleen\n", "a.csv, line 3: '1.5' is no label's number"),
        ("a.csv", "1.5,liver\n", "a.csv, line 1: '1.5' is no label's number"),
        ("a.csv", "1,liver\n-2,spleen\n", "a.csv, line 2: '-2' is no label's number"),
        ("a.csv", "1,liver\ntwo,spleen\n", "a.csv, line 2: 'two' is no label's number"),
        ("a.csv", "1,liver\n2\n", "a.csv, line 2: the label 2 has no name"),
        ("a.csv", "1,liver\n2, \n", "a.csv, line 2: the label 2 has no name"),
        ("a.ctbl", "# c\n1 liver 1 2 3 255\n2 spleen 1 2 255\n", "a.ctbl, line 3: '2 spleen 1 2 255' is no"),
        ("a.txt", "1 liver\n", "a.txt, line 1: '1 liver' is no line of a table of 3D Slicer"),
    ],
)
def test_no_line_of_a_table_of_labels_is_passed_over(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(OptionError, match=f"^{message}"):
        read_label_names(str(tmp_path / name))


def test_labels_as_text():
    assert read_label_names("1=liver,2=left kidney") == {1: "liver", 2: "left kidney"}
    assert read_label_names("3, 5") == {3: "3", 5: "5"}
    for text, message in (
        ("liver", "no such file"),
        ("liver=1," * 60, "no such file"),
        ("1=a,1=b", "number 1 is there twice"),
        ("1=a,2=a", "name a is there twice"),
        ("0=background", "no label but the background"),
    ):
        with pytest.raises(OptionError, match=message):
            read_label_names(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no table of labels"),
        ("{", "no table of labels"),
        ('{"labels": {"a": [1, 2]}}', "a region"),
    ],
)
def test_what_is_no_table_of_labels(tmp_path, text, message):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(OptionError, match=message):
        read_label_names(str(tmp_path / "names.json"))


def test_probabilities(write_volume, tmp_path):
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[:2] = 3
    said = np.where(truth > 0, 0.6, 0.2).astype(np.float32)
    write_volume(tmp_path / "truth.nii.gz", truth)
    write_volume(tmp_path / "said.nii.gz", said, kind="image")
    settings = Settings(metrics=("dice", "brier", "ece"), probabilities=True)
    found = run_study({"": tmp_path / "said.nii.gz"}, tmp_path / "truth.nii.gz", settings)
    assert [(r.label, r.metric, pytest.approx(r.value)) for r in found.scores] == [
        (3, "dice", 1),
        (3, "brier", (0.16 + 0.04) / 2),
        (3, "ece", 0.3),
    ]
    strict = Settings(metrics=("dice",), probabilities=True, threshold=0.7)
    found = run_study({"": tmp_path / "said.nii.gz"}, tmp_path / "truth.nii.gz", strict)
    assert found.scores.rows[0].state == "missed"
    write_volume(tmp_path / "said.nii.gz", said * 10, kind="image")
    found = run_study({"": tmp_path / "said.nii.gz"}, tmp_path / "truth.nii.gz", settings)
    assert "probabilities are from 0 to 1; found 2 to 6. Are they logits?" in found.refusals[0].reason


def test_the_label_of_probabilities_is_that_of_all_truths(write_volume, tmp_path):
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[:2] = 255
    for name, true in (("a", truth), ("b", truth * 0)):
        write_volume(tmp_path / "truth" / f"{name}.nii.gz", true)
        write_volume(tmp_path / "said" / f"{name}.nii.gz", np.ones((4, 4, 4), np.float32), kind="image")
    (tmp_path / "truth" / "c.nii.gz").write_bytes(b"no volume")
    write_volume(tmp_path / "said" / "c.nii.gz", np.ones((4, 4, 4), np.float32), kind="image")
    settings = Settings(metrics=("dice", "brier"), probabilities=True, empty="brats")
    for workers in (1, 2):
        found = run_study({"": tmp_path / "said"}, tmp_path / "truth", settings, workers=workers)
        assert [(r.case, r.label, r.name, r.state) for r in found.scores if r.metric == "dice"] == [
            ("a", 255, "255", "compared"),
            ("b", 255, "255", "false alarm"),
        ]
        assert [(s.name, s.n) for s in found.summaries if s.metric == "dice"] == [("255", 2)]
        assert [refusal.case for refusal in found.refusals] == ["c"]
        assert found.settings.labels == {255: "255"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0), "no truth holds a label, .* name the label with --labels"),
        ((1, 255), r"the truths hold the labels 1 \(in a\), 255 \(in b\); .* name it with --labels"),
    ],
)
def test_probabilities_of_no_or_several_labels_are_refused(write_volume, tmp_path, values, message):
    for name, value in zip("ab", values, strict=True):
        write_volume(tmp_path / "truth" / f"{name}.nii.gz", np.full((4, 4, 4), value, np.uint8))
        write_volume(tmp_path / "said" / f"{name}.nii.gz", np.ones((4, 4, 4), np.float32), kind="image")
    settings = Settings(metrics=("dice",), probabilities=True)
    with pytest.raises(OptionError, match=message):
        run_study({"": tmp_path / "said"}, tmp_path / "truth", settings)
    named = dataclasses.replace(settings, labels={1: "lesion"})
    assert not run_study({"": tmp_path / "said"}, tmp_path / "truth", named).refusals


def test_time_and_memory_come_from_the_record_beside_a_prediction(cohort, write_volume, tmp_path):
    array = np.ones((4, 4, 4), np.uint8)
    write_volume(tmp_path / "a" / "one.nii.gz", array)
    write_volume(tmp_path / "b" / "one.nii.gz", array)
    record = {"model": "unet", "seconds": {"read": 0.5, "network": 2.0}, "peak_memory_bytes": 10**9}
    (tmp_path / "a" / "one.json").write_text(json.dumps(record))
    found = run_study({"": tmp_path / "a"}, tmp_path / "b", Settings())
    origin = {"seconds": 2.5, "peak_memory_bytes": 10**9, "model": "unet"}
    assert found.origins == {("", "one"): origin}
    assert to_document(found)["cases"][0]["origin"] == origin


def test_names_of_models(tmp_path):
    a, b = tmp_path / "run1" / "pred", tmp_path / "run2" / "pred"
    assert name_models([a]) == {"": a}
    assert name_models([a, b]) == {"run1/pred": a, "run2/pred": b}
    assert name_models([a, b], ["x", "y"]) == {"x": a, "y": b}
    for names in (["x"], ["x", "x"]):
        with pytest.raises(OptionError):
            name_models([a, b], names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,sex\na,F\n", "wanted a column named case"),
        ("", "no rows"),
        ("case,sex\na,F\na,M\n", "attributes.csv, line 3: the case a is there twice"),
        ("case,sex\na,F\n\n ,M\n", "attributes.csv, line 4: the case has no name"),
        ("sex,case\nF,a\nM\n", "attributes.csv, line 3: the case has no name"),
    ],
)
def test_tables_of_attributes_that_are_none(tmp_path, text, message):
    (tmp_path / "attributes.csv").write_text(text)
    with pytest.raises(OptionError, match=message):
        read_attributes(tmp_path / "attributes.csv")


def test_attributes_that_are_of_no_case_or_no_groups(cohort):
    from medseg.evaluation.subgroups import summarise_groups

    scores = medseg.evaluate(cohort / "good", cohort / "truth", metrics=["dice"])
    with pytest.raises(OptionError, match="none of the cases has attributes"):
        summarise_groups(scores, {"other": {"sex": "F"}})


def test_numbers_are_cut_at_their_quartiles_and_many_words_are_refused():
    from medseg.evaluation.subgroups import _groups

    found = _groups({f"case{n}": str(n) for n in range(12)}, "age")
    assert list(dict.fromkeys(found.values())) == [
        "age up to 2.75",
        "age over 2.75 up to 5.5",
        "age over 5.5 up to 8.25",
        "age over 8.25",
    ]
    days = _groups({f"case{n}": str(20230101 + n) for n in range(28)}, "date")
    assert Counter(days.values()) == {
        "date up to 20230107.8": 7,
        "date over 20230107.8 up to 20230114.5": 7,
        "date over 20230114.5 up to 20230121.2": 7,
        "date over 20230121.2": 7,
    }
    few = _groups({f"case{n}": str(max(0, n - 15)) for n in range(25)}, "stage")
    assert Counter(few.values()) == {"stage up to 0": 16, "stage over 0 up to 3": 3, "stage over 3": 6}
    with pytest.raises(OptionError, match="has 12 values that are no numbers"):
        _groups({f"case{n}": f"word{n}" for n in range(12)}, "note")


def test_a_table_without_its_empty_columns_keeps_its_heads_whole(cohort):
    study = run_study({"": cohort / "good"}, cohort / "truth", Settings(metrics=("dice",)))
    console = Console(width=200, file=io.StringIO())
    show_study(study, console)
    head = console.file.getvalue().splitlines()[1].rstrip()
    assert "false alarm  both empty" in head
