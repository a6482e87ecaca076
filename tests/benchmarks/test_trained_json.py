"""Reports that show the trainings of several machines."""

import json
import math

import pytest

from benchmarks import compare, trainings
from benchmarks.kit import runs
from benchmarks.kit.studies import read_studies


def test_a_report_adds_trainings_of_other_machines(work_dir, tmp_path):
    studies = [s for s in read_studies() if s["study"] == "camvid"]
    here = trainings.collect(work_dir, studies)
    first, second = here["trainings"]
    other = {**first, "seed": 1, "row": "UperNet", "config": "upernet_efflite0_camvid"}
    older = {**second, "device": "T4"}  # the work-dir's own goes before
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    paths[0].write_text(json.dumps({"trainings": [other, older]}))
    paths[1].write_text(json.dumps({"trainings": [{**other, "device": "T4"}]}))
    there = trainings.collect(work_dir, studies, paths)
    assert there == {**here, "trainings": [first, second, other]}
    (work_dir / "camvid/MaskFormer-seed1" / runs.MEMORY).unlink()
    assert trainings.collect(work_dir, studies, paths)["trainings"] == [first, older, other]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(row="SegNet"), r"a\.json: study 'camvid', row 'SegNet', seed 0 is in no study"),
        (dict(options=["a=1"]), r"seed 0: options is \['a=1'\]; in benchmarks/trainings.json \[\]"),
        (dict(config="b"), r"seed 0: config is 'b'; in benchmarks/trainings.json 'maskformer_eff"),
        (
            dict(metrics=None),
            r"a\.json: trainings\[0\]: 'metrics' is missing or of another type",
        ),
        (dict(metrics={}), r"trainings\[0\] has no validation in 'metrics' or in 'curve'"),
        (dict(curve=[]), r"trainings\[0\] has no validation in 'metrics' or in 'curve'"),
        (dict(step_s=math.nan), r"trainings\[0\] has a number that is not finite"),
    ],
)
def test_what_no_study_has_is_not_added(change, message, work_dir, tmp_path):
    studies = [s for s in read_studies() if s["study"] == "camvid"]
    run = trainings.collect(work_dir, studies)["trainings"][0]
    (tmp_path / "a.json").write_text(json.dumps({"trainings": [{**run, **change}]}))
    with pytest.raises(ValueError, match=message):
        trainings.collect(work_dir, studies, [tmp_path / "a.json"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"titles": {}}, r"a\.json is no trained\.json: it has no list of trainings"),
        ({"trainings": [3]}, r"a\.json: trainings\[0\] must be an object, got 3"),
    ],
)
def test_what_is_no_report_is_not_added(content, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        trainings.collect(tmp_path, read_studies(), [tmp_path / "a.json"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(trainings=[3]), r"a\.json: trainings\[0\] must be an object, got 3"),
        (dict(titles={}), r"a\.json: trainings\[0\]: its study 'camvid' is not in 'titles'"),
        (dict(claims=None), r"a\.json: trainings\[0\]: its study 'camvid' is not in 'claims'"),
    ],
)
def test_tables_of_damaged_reports_are_refused(change, message, work_dir, tmp_path):
    studies = [s for s in read_studies() if s["study"] == "camvid"]
    content = trainings.collect(work_dir, studies)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    assert compare.tables_of([str(path)])
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message):
        compare.tables_of([str(path)])
