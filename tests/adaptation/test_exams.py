import numpy as np

from rowgraph.adaptation.exams import Exams
from rowgraph.tasks.folds import folds_of
from rowgraph.tasks.regimes import visible_before


def test_a_fold_asks_its_rows_as_each_regime_shows_them(world, quick):
    task, exams = world.task, Exams.of(world.task, quick)
    folds = folds_of(task, quick.folds)
    assert [exam.name for exam in exams.folds] == [fold.name for fold in folds]
    for exam, fold in zip(exams.folds, folds, strict=True):
        assert exam.fresh.index.tolist() == fold.fit.tolist() == exam.aged.index.tolist()
        for regime, rows in exam.asked.items():
            assert rows.labels.target.tolist() == task.known.target[fold.score].tolist()
            assert rows.before.tolist() == fold.before(task, regime).tolist()
            assert (exam.fresh.labels.times + task.timedelta <= rows.labels.times.min()).all()


def test_validation_and_test_ask_all_their_rows(world, quick):
    task, exams = world.task, Exams.of(world.task, quick)
    for split in ("val", "test"):
        labels = task.labels(split)
        for regime, rows in exams.of_split(split).asked.items():
            assert rows.labels.rows.tolist() == labels.rows.tolist()
            assert rows.labels.target.tolist() == labels.target.tolist()
            expected = visible_before(labels.times, regime, split, task.database)
            assert rows.before.tolist() == expected.tolist()


def test_what_is_fitted_finally_is_declared(world, quick):
    task = world.task
    for final_fit, rows in (("train", len(task.train)), ("train_and_validation", len(task.known))):
        settings = quick.model_copy(update={"final_fit": final_fit})
        exams = Exams.of(task, settings, None)
        assert len(exams.test.fresh) == rows
        assert len(exams.validation.fresh) == len(task.train)


def test_the_newest_rows_are_fitted_on_where_there_are_too_many(world, quick):
    exams = Exams.of(world.task, quick, 100, 50)
    for exams_of, rows in ((exams.folds, 50), ((exams.validation, exams.test), 100)):
        for exam in exams_of:
            assert len(exam.fresh) == len(exam.aged) == rows
            assert (np.diff(exam.fresh.index) > 0).all()
    known = world.task.known.times
    assert exams.test.fresh.labels.times.min() >= np.sort(known)[-100]


def test_without_frozen_db_nothing_is_aged(world, quick):
    exams = Exams.of(world.task, quick.model_copy(update={"regimes": ("rolling",)}))
    assert all(exam.aged is None for exam in exams.folds)
    assert list(exams.test.asked) == ["rolling"]
