"""Classifier two-sample test: how well a classifier tells queries from keys in sentences that it has not seen."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from probe.stats import CONFIDENCE, RESAMPLES, Estimate

LINEAR, MLP = "linear", "mlp"
FOLDS = 5
HIDDEN, EPOCHS = 32, 30
ENOUGH, PATIENCE = 1e-3, 3
"""Training ends early if more epochs than that in a row lower the loss by less: what is apart by then stays apart."""


@contextmanager
def quiet() -> Generator[None]:
    """Ignore that classifiers did not converge: the number of steps is their regularisation.

    Filters of warnings are those of all threads, so this stands around them, not in them.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def held_out_auc(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    groups: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]],
    *,
    kind: str,
    seed: int,
) -> Estimate:
    """Area under the ROC curve on held-out groups, and its 95 % CI from a bootstrap over groups.

    Lopez-Paz & Oquab 2017, with the area (probability that a point of x scores above a point of y) in place of
    accuracy: it needs no threshold: .5 where nothing tells the samples apart. A group, such as a sentence, is never
    on both sides of a split. Points are compared within a fold alone, for scores of two classifiers have no common
    zero. The interval holds the fitted classifiers fixed.

    Args:
        x: one sample.
        y: the other.
        groups: the group of each point of x, and of y.
        kind: ``linear`` (logistic regression) or ``mlp`` (one hidden layer of 32).
        seed: of folds, initial weights and resamples.
    """
    areas = _areas(x, y, groups, kind=kind, seed=seed, resamples=RESAMPLES)
    low, high = np.nanquantile(areas[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate.of(areas[0], low, high)


def held_out_area(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    groups: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]],
    *,
    kind: str,
    seed: int,
) -> float:
    """The area of `held_out_auc` alone."""
    return float(_areas(x, y, groups, kind=kind, seed=seed, resamples=0)[0])


def _areas(
    x: np.ndarray,
    y: np.ndarray,
    groups: tuple[np.ndarray, np.ndarray],
    *,
    kind: str,
    seed: int,
    resamples: int,
) -> Float[np.ndarray, " areas"]:
    """The area of the sample, and then of each resample of its groups."""
    points = np.concatenate([x, y])
    label = np.arange(len(points)) < len(x)
    _, group = np.unique(np.concatenate(groups), return_inverse=True)
    group = group.reshape(-1)
    count = int(group.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    times = np.concatenate([np.ones((1, count)), draws])  # first the sample itself
    won, pairs = np.zeros(len(times)), np.zeros(len(times))
    for train, test in _folds(len(x), group.tobytes(), seed):
        if label[train].all() or not label[train].any():
            continue
        scores = _scores(kind, points[train], label[train], points[test], seed)
        fold_won, fold_pairs = _wins(scores, label[test], group[test], times)
        won, pairs = won + fold_won, pairs + fold_pairs
    with np.errstate(invalid="ignore"):
        return won / pairs


@lru_cache(maxsize=16)
def _folds(size: int, groups: bytes, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test points of each fold; kept, for all views of the same tokens have the same folds.

    Args:
        size: points of x, which come first.
        groups: the group of each point, as bytes of int64, so that they can be looked up.
        seed: of the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    group = np.frombuffer(groups, dtype=np.int64)
    label = np.arange(len(group)) < size
    folds = StratifiedGroupKFold(min(FOLDS, int(group.max()) + 1), shuffle=True, random_state=seed)
    return list(folds.split(label[:, None], label, group))


def _scores(kind: str, train: np.ndarray, label: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any = (
        LogisticRegression(max_iter=200)
        if kind == LINEAR
        else MLPClassifier(
            (HIDDEN,),
            max_iter=EPOCHS,
            tol=ENOUGH,
            n_iter_no_change=PATIENCE,
            learning_rate_init=0.01,
            alpha=0.01,
            random_state=seed,
        )
    )
    classifier = make_pipeline(StandardScaler(), model)
    classifier.fit(train, label)
    return classifier.predict_proba(test)[:, 1] if kind == MLP else classifier.decision_function(test)


def _wins(
    scores: Float[np.ndarray, " points"],
    label: np.ndarray,
    group: Int[np.ndarray, " points"],
    times: Float[np.ndarray, "resamples groups"],
) -> tuple[Float[np.ndarray, " resamples"], Float[np.ndarray, " resamples"]]:
    """For each resample, in how many pairs the point of x scores higher, ties half, and how many pairs there are."""
    present, own = np.unique(group, return_inverse=True)
    indicator = np.eye(len(present))[own.reshape(-1)]
    ours, theirs = scores[label][:, None], scores[~label][None]
    wins = (ours > theirs) + 0.5 * (ours == theirs)
    by_group = indicator[label].T @ wins @ indicator[~label]
    pairs = np.outer(indicator[label].sum(axis=0), indicator[~label].sum(axis=0))
    weights = times[:, present]
    return ((weights @ by_group) * weights).sum(axis=1), ((weights @ pairs) * weights).sum(axis=1)
