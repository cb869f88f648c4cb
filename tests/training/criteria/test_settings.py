import inspect
from typing import get_args

import pytest

from probe.projectors import QUERY, STRUCTURES
from probe.training.criteria.settings import METHODS, Method, Objective, named
from probe.training.criteria.step import Step
from probe.training.parts import ObjectivePart
from probe.training.recipe import part_of


@pytest.mark.parametrize("method", METHODS)
def test_every_function_of_the_table_is_there_and_takes_what_it_is_given(method: str):
    needs = METHODS[method]
    assert [each.annotation for each in inspect.signature(named(needs.loss)).parameters.values()] == [Step]
    if needs.networks is not None:
        assert list(inspect.signature(named(needs.networks)).parameters) == ["objective", "width"]
    if needs.links is not None:
        assert list(inspect.signature(named(needs.links)).parameters) == ["objective", "texts", "student", "teacher"]
    assert set(needs.projectors) <= set(STRUCTURES)
    assert needs.teacher or not (needs.projectors or needs.links or needs.scales or needs.vocabulary)
    assert needs.scales or QUERY not in needs.projectors


def test_recipes_know_the_methods_of_the_table_and_their_needs():
    assert get_args(Method) == tuple(METHODS)
    for method, needs in METHODS.items():
        part = part_of(ObjectivePart, {"method": method}, "recipe")
        assert part.needs is part.objective().needs is Objective(method).needs is needs


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        METHODS["sft"] = METHODS["cma"]  # pyright: ignore
    with pytest.raises(AttributeError):
        METHODS["sft"].teacher = True  # pyright: ignore
