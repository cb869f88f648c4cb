import numpy as np
import pytest
import torch
from directories import WIDTHS, projector, trained_tensors
from torch import nn

from probe.errors import ProjectorError
from probe.projectors import Linear, Projector, Relu, initial_tensors, parse_structure, project, tensor_shapes

S, T = WIDTHS["student"], WIDTHS["teacher"]

# The same structures, written as the modules that the released code builds of them.
MODULES = {
    "2s-2t": lambda: nn.Sequential(nn.Linear(2 * S, 2 * T)),
    "t-s": lambda: nn.Sequential(nn.Linear(T, S)),
    "s-t": lambda: nn.Sequential(nn.Linear(S, T)),
    "t-2t-relu-s": lambda: nn.Sequential(nn.Linear(T, 2 * T), nn.ReLU(), nn.Linear(2 * T, S)),
    "t-relu-s": lambda: nn.Sequential(nn.ReLU(), nn.Linear(T, S)),
    "2s-t-relu-2t": lambda: nn.Sequential(nn.Linear(2 * S, T), nn.ReLU(), nn.Linear(T, 2 * T)),
    "s-3t-10s-t": lambda: nn.Sequential(nn.Linear(S, 3 * T), nn.Linear(3 * T, 10 * S), nn.Linear(10 * S, T)),
    "s-relu-t-relu-s": lambda: nn.Sequential(nn.ReLU(), nn.Linear(S, T), nn.ReLU(), nn.Linear(T, S)),
    "t": lambda: nn.Sequential(),
}


def message(structure: str, tensors: dict[str, np.ndarray] | None = None) -> str:
    with pytest.raises(ProjectorError) as caught:
        Projector.load(structure, tensors or {}, **WIDTHS, where="projector.pt: query")
    return str(caught.value)


# What a structure means


@pytest.mark.parametrize("structure", MODULES)
def test_tensors_are_those_of_the_module(structure: str) -> None:
    state = {name: tuple(tensor.shape) for name, tensor in MODULES[structure]().state_dict().items()}
    assert tensor_shapes(parse_structure(structure, **WIDTHS)) == state


@pytest.mark.parametrize("structure", MODULES)
def test_values_are_those_of_the_module(structure: str) -> None:
    module = MODULES[structure]()
    tensors = trained_tensors(structure)
    module.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    width = parse_width(structure)
    x = np.random.default_rng(0).standard_normal((3, 5, width)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    numpy = project(projector(structure, tensors), x)
    in_torch = project(projector(structure, dict(module.state_dict())), torch.from_numpy(x))
    assert isinstance(numpy, np.ndarray)
    assert isinstance(in_torch, torch.Tensor)
    np.testing.assert_allclose(numpy, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(in_torch.numpy(), expected, rtol=1e-5, atol=1e-6)


def parse_width(structure: str) -> int:
    first = structure.split("-")[0]
    return int(first[:-1] or 1) * {"s": S, "t": T}[first[-1]]


def test_layers_by_name() -> None:
    assert parse_structure("t-2t-relu-s", student=3, teacher=5) == (Linear(0, 5, 10), Relu(1), Linear(2, 10, 3))
    assert parse_structure("t-relu-s", student=3, teacher=5) == (Relu(0), Linear(1, 5, 3))
    assert parse_structure("t", student=3, teacher=5) == ()


def test_a_relu_in_front_of_the_only_map_acts_on_the_input() -> None:
    negative = -np.ones((1, T), np.float32)
    tensors = trained_tensors("t-relu-s")
    assert set(tensors) == {"1.weight", "1.bias"}
    np.testing.assert_array_equal(project(projector("t-relu-s", tensors), negative)[0], tensors["1.bias"])


def test_identity_hands_its_input_through() -> None:
    x = np.random.default_rng(0).standard_normal((2, T))
    np.testing.assert_array_equal(project(projector("t"), x), x)


@pytest.mark.parametrize("structure", ["2s-2t", "t-2t-relu-s", "t-relu-s"])
def test_gradients_reach_input_and_tensors(structure: str) -> None:
    module = MODULES[structure]()
    x = torch.randn(4, parse_width(structure), requires_grad=True)
    theirs = torch.autograd.grad(module(x).square().sum(), [x, *module.parameters()])
    own = projector(structure, dict(module.named_parameters()))
    ours = torch.autograd.grad(project(own, x).square().sum(), [x, *module.parameters()])
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)
        assert their.abs().max() > 0


# Structures that cannot be


@pytest.mark.parametrize(
    ("structure", "says"),
    [
        ("relu-t-s", "a width at both ends; got 'relu' … 's'"),
        ("t-relu", "a width at both ends; got 't' … 'relu'"),
        ("relu", "a width at both ends"),
        ("t-relu-relu-s", "two relus in a row"),
        ("2s-2x", "got '2x'"),
        ("0.5s-t", "got '0.5s'"),
        ("0s-t", "got '0s'"),
        ("-2s-t", "got ''"),
        ("512-t", "got '512'"),
        ("ReLU-t", "got 'ReLU'"),
        ("s - t", "got 's '"),
        ("", "got ''"),
    ],
)
def test_wrong_structures(structure: str, says: str) -> None:
    text = message(structure)
    assert says in text
    assert f"structure {structure!r}" in text


# Tensors that do not fit


def test_all_wrong_tensors_are_listed_at_once() -> None:
    tensors = trained_tensors("t-2t-relu-s")
    del tensors["0.bias"]
    tensors["1.weight"] = np.zeros((2, 2), np.float32)
    tensors["2.weight"] = tensors["2.weight"].T
    text = message("t-2t-relu-s", tensors)
    assert f"projector.pt: query.0.bias: expected shape ({2 * T},); got no tensor" in text
    assert "projector.pt: query.1.weight: expected no such tensor in a t-2t-relu-s projector; got shape (2, 2)" in text
    assert f"projector.pt: query.2.weight: expected shape ({S}, {2 * T}); got shape ({2 * T}, {S})" in text
    assert len(text.splitlines()) == 3


def test_a_scalar_is_not_taken_for_nothing() -> None:
    tensors = trained_tensors("2s-2t") | {"0.bias": np.zeros((), np.float32)}
    assert f"expected shape ({2 * T},); got shape ()" in message("2s-2t", tensors)
    assert "got shape ()" in message("2s-2t", trained_tensors("2s-2t") | {"0.gain": np.zeros((), np.float32)})


def test_ungathered_zero3_tensors_are_named_as_such() -> None:
    empty = {name: np.zeros(0, np.float32) for name in ("0.weight", "0.bias")}
    text = message("2s-2t", empty)
    assert text.count("ZeRO-3") == 2
    assert "zero_to_fp32.py" in text
    assert "ZeRO" not in message("2s-2t")
    superfluous = trained_tensors("2s-2t") | {"1.weight": np.zeros(0, np.float32)}
    assert "1.weight: expected no such tensor" in message("2s-2t", superfluous)


def test_a_projector_of_other_widths() -> None:
    tensors = trained_tensors("2s-2t", widths={"student": S, "teacher": T + 8})
    assert f"expected shape ({2 * T}, {2 * S}); got shape ({2 * T + 16}, {2 * S})" in message("2s-2t", tensors)


# Untrained


def test_initial_tensors_are_drawn_as_torch_does() -> None:
    layers = parse_structure("2s-2t", student=200, teacher=100)
    tensors = initial_tensors(layers, np.random.default_rng(3))
    drawn = nn.Linear(400, 200).weight.detach().numpy()
    weight = tensors["0.weight"]
    assert {name: tensor.shape for name, tensor in tensors.items()} == tensor_shapes(layers)
    assert np.abs(weight).max() == pytest.approx(400**-0.5, rel=1e-3)
    assert np.abs(tensors["0.bias"]).max() <= 400**-0.5
    assert weight.std() == pytest.approx(drawn.std(), rel=0.02)
    again = initial_tensors(layers, np.random.default_rng(3))
    np.testing.assert_array_equal(weight, again["0.weight"])
    assert np.any(weight != initial_tensors(layers, np.random.default_rng(4))["0.weight"])
