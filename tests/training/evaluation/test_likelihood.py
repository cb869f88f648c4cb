"""Bits per byte: transformers' own loss of the response, over the bytes that its tokens spell."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from directories import save_model

from probe.errors import TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.evaluation.likelihood import ROWS, Fitted, predicted
from probe.training.examples import Example
from probe.training.parts import Lora, StudentPart
from probe.training.trainer.setup import load_student

EXAMPLES = [
    Example("Return the path.\n", "Read a naïve café menu; read it twice."),
    Example("a", "b"),
    Example("Write", "The file is closed, and the path of the file is returned."),
    Example("Below is an instruction", "京都 👍"),
    Example("The file is closed.\n", "the path"),
    Example("Read a naïve menu", "Write a response."),
]
assert len(EXAMPLES) > ROWS, "one batch alone would prove little"
LENGTHS = {"max_prompt": 24, "max_length": 64}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: save_model(name, base / name) for name in ("gpt2", "llama")}


def bits_per_byte(*args: Any, **lengths: int) -> float:
    return predicted(*args, **lengths).bits_per_byte


def fitted(*args: Any, **lengths: int) -> Fitted:
    return predicted(*args, **lengths, fit=True).fitted


def load(place: Path) -> tuple[Any, Tokenizer]:
    return transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32), Tokenizer.load(place)


def nats(model: Any, prompt: Sequence[int], response: Sequence[int]) -> float:
    """The summed loss of the response's tokens, by transformers alone."""
    ids = torch.tensor([[*prompt, *response]])
    labels = ids.clone()
    labels[0, : len(prompt)] = -100
    with torch.no_grad():
        return model.eval()(input_ids=ids, labels=labels).loss.item() * len(response)


def tokens(tokenizer: Tokenizer, example: Example) -> tuple[list[int], list[int]]:
    """Prompt and response."""
    return [*tokenizer.encode_prompt(example.prompt)], [*tokenizer.encode(example.output), tokenizer.eos_id]


def plain(model: Any, tokenizer: Tokenizer, examples: Sequence[Example]) -> float:
    """Bits per byte of responses that nothing cuts."""
    loss = sum(nats(model, *tokens(tokenizer, example)) for example in examples)
    return loss / math.log(2) / sum(len(e.output.encode()) for e in examples)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_it_is_transformers_loss_of_the_response_and_eos_over_the_bytes(name: str, places: dict[str, Path]):
    model, tokenizer = load(places[name])
    whole = bits_per_byte(model, tokenizer, EXAMPLES, **LENGTHS)
    assert whole == pytest.approx(plain(model, tokenizer, EXAMPLES), rel=1e-5)
    for example in EXAMPLES:
        assert bits_per_byte(model, tokenizer, [example], **LENGTHS) == pytest.approx(
            plain(model, tokenizer, [example]), rel=1e-5
        )
    # Bytes, not characters and not tokens: of the Japanese response alone, three bytes to a character.
    (japanese,) = (e for e in EXAMPLES if "京" in e.output)
    assert len(japanese.output.encode()) == 11


def test_examples_weigh_by_their_bytes_and_their_order_does_not_count(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    whole = bits_per_byte(model, tokenizer, EXAMPLES, **LENGTHS)
    for order in (EXAMPLES[::-1], EXAMPLES[3:] + EXAMPLES[:3], sorted(EXAMPLES, key=lambda e: len(e.output))):
        assert bits_per_byte(model, tokenizer, order, **LENGTHS) == pytest.approx(whole, rel=1e-6)
    sizes = [len(e.output.encode()) for e in EXAMPLES]
    each = [bits_per_byte(model, tokenizer, [e], **LENGTHS) for e in EXAMPLES]
    mean = sum(size * one for size, one in zip(sizes, each, strict=True)) / sum(sizes)
    assert whole == pytest.approx(mean, rel=1e-5)
    assert bits_per_byte(model, tokenizer, EXAMPLES * 2, **LENGTHS) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("room", [2, 3, 5])
def test_a_cut_response_counts_to_the_cut_in_tokens_and_in_bytes(name: str, room: int, places: dict[str, Path]):
    model, tokenizer = load(places[name])
    example = Example("Read", "naïve café menu; the path of the file")
    prompt, response = tokenizer.encode_prompt(example.prompt), tokenizer.encode(example.output)
    kept = response[:room]
    spelt = tokenizer.tokenize(example.output).tokens[room - 1].end
    assert 0 < spelt < len(example.output.encode())
    expected = nats(model, prompt, kept) / math.log(2) / spelt
    found = bits_per_byte(model, tokenizer, [example], max_prompt=24, max_length=len(prompt) + room)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_cut_inside_a_character_counts_the_bytes_before_it(name: str, places: dict[str, Path]):
    """Both tokenizers spell what they never saw byte by byte."""
    model, tokenizer = load(places[name])
    example = Example("Read", "京都")
    prompt, response = tokenizer.encode_prompt(example.prompt), tokenizer.encode(example.output)
    ahead = len(response) - 6  # Llama's kind has a dummy space in front
    assert ahead in (0, 1)
    for number in (2, 4, 5):
        expected = nats(model, prompt, response[: ahead + number]) / math.log(2) / number
        room = len(prompt) + ahead + number
        found = bits_per_byte(model, tokenizer, [example], max_prompt=24, max_length=room)
        assert found == pytest.approx(expected, rel=1e-5), number


def test_where_eos_alone_is_cut_the_whole_response_counts(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    example = Example("Read", "the café")
    prompt, response = tokenizer.encode_prompt(example.prompt), tokenizer.encode(example.output)
    expected = nats(model, prompt, response) / math.log(2) / len(example.output.encode())
    found = bits_per_byte(model, tokenizer, [example], max_prompt=24, max_length=len(prompt) + len(response))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_prompt_is_cut_as_in_training(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    example = Example("The file is closed, and the path of the file is returned.", "Read it")
    prompt = tokenizer.encode_prompt(example.prompt)
    response = [*tokenizer.encode(example.output), tokenizer.eos_id]
    assert len(prompt) > 5
    expected = nats(model, prompt[:5], response) / math.log(2) / len(example.output)
    found = bits_per_byte(model, tokenizer, [example], max_prompt=5, max_length=64)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_models_mode_comes_back(training: bool, places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    assert model.config.resid_pdrop > 0
    expected = bits_per_byte(model.eval(), tokenizer, EXAMPLES, **LENGTHS)
    model.train(training)
    assert bits_per_byte(model, tokenizer, EXAMPLES, **LENGTHS) == expected
    assert model.training == training
    assert all(module.training == training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, of transformers
def test_adapters_count(places: dict[str, Path]):
    tokenizer = Tokenizer.load(places["gpt2"])
    student = load_student(StudentPart(source=str(places["gpt2"]), train="lora", lora=Lora(r=4, alpha=8)))
    base = bits_per_byte(load(places["gpt2"])[0], tokenizer, EXAMPLES, **LENGTHS)
    assert bits_per_byte(student, tokenizer, EXAMPLES, **LENGTHS) == pytest.approx(base, rel=1e-6)  # they begin at 0
    with torch.no_grad():
        for key, parameter in student.named_parameters():
            if "lora_B" in key:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    found = bits_per_byte(student, tokenizer, EXAMPLES, **LENGTHS)
    assert student.training
    assert abs(found - base) > 1e-3
    assert found == pytest.approx(plain(student.merge_and_unload(), tokenizer, EXAMPLES), rel=1e-4)


def test_prompts_that_leave_no_room_count_nothing(places: dict[str, Path]):
    """Also where they fill a whole batch, and where they alone would be longer than the row may be."""
    model, tokenizer = load(places["gpt2"])
    short, long = Example("Read", "the path"), Example("The file is closed, and the path of the file", "no room")
    size = len(tokenizer.encode_prompt(long.prompt))
    for most in (size, size - 2):
        expected = bits_per_byte(model, tokenizer, [short], max_prompt=64, max_length=most)
        for examples in ([short, long], [*[long] * ROWS, short]):
            found = bits_per_byte(model, tokenizer, examples, max_prompt=64, max_length=most)
            assert found == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_measured_is_refused(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    with pytest.raises(TrainingError, match=r"bits per byte: expected room for a response.*Raise max_length"):
        bits_per_byte(model, tokenizer, [Example("Read it", "twice")], max_prompt=1, max_length=1)
    with pytest.raises(TrainingError, match="expected a prompt; got an empty one"):
        bits_per_byte(model, tokenizer, [EXAMPLES[0], Example("", "twice")], **LENGTHS)


# At a fitted temperature


@pytest.fixture(scope="module")
def taught(places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows a little of the examples: of random weights, the best temperature is without end."""
    model, tokenizer = load(places["llama"])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    torch.manual_seed(0)
    for step in range(30):
        example = EXAMPLES[step % 2]  # one of each half
        ids = [*tokenizer.encode_prompt(example.prompt), *tokenizer.encode(example.output), tokenizer.eos_id]
        model.train()(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(2.0)  # so that its best temperature is about 1
    place = tmp_path_factory.mktemp("taught")
    model.save_pretrained(place)
    (place / "tokenizer.json").write_bytes((places["llama"] / "tokenizer.json").read_bytes())
    return place


def sharper(place: Path, factor: float) -> Any:
    """The model of a directory with logits times a factor."""
    model, _ = load(place)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(factor)
    return model


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_a_fitted_temperature_undoes_a_factor_on_the_logits(taught: Path, factor: float) -> None:
    tokenizer = Tokenizer.load(taught)
    as_is = fitted(sharper(taught, 1.0), tokenizer, EXAMPLES, **LENGTHS)
    found = fitted(sharper(taught, factor), tokenizer, EXAMPLES, **LENGTHS)
    assert as_is.bits_per_byte is not None
    assert as_is.temperature is not None
    assert 0.7 < as_is.temperature < 1.5
    assert found.bits_per_byte == pytest.approx(as_is.bits_per_byte, rel=1e-5)
    assert found.temperature == pytest.approx(factor * as_is.temperature, rel=2e-3)


def test_each_half_has_the_temperature_of_the_other(taught: Path) -> None:
    tokenizer = Tokenizer.load(taught)
    halves = EXAMPLES[0::2], EXAMPLES[1::2]
    grid = [2 ** (k / 40) for k in range(-40, 41)]
    models = {temperature: sharper(taught, 1 / temperature) for temperature in grid}
    best = [min(grid, key=lambda one: plain(models[one], tokenizer, half)) for half in halves]
    sizes = [sum(len(e.output.encode()) for e in half) for half in halves]
    crossed = [plain(models[at], tokenizer, half) for at, half in zip(reversed(best), halves, strict=True)]
    expected = sum(bits * size for bits, size in zip(crossed, sizes, strict=True)) / sum(sizes)
    found = fitted(models[1.0], tokenizer, EXAMPLES, **LENGTHS)
    assert best[0] != best[1]
    assert found.bits_per_byte == pytest.approx(expected, rel=5e-3)


def test_what_is_fitted_is_the_sum_of_what_each_example_costs(taught: Path) -> None:
    model, tokenizer = load(taught)
    found = fitted(model, tokenizer, EXAMPLES, **LENGTHS)
    assert found.sizes == tuple(len(example.output.encode()) for example in EXAMPLES)
    assert sum(found.nats) / math.log(2) / sum(found.sizes) == pytest.approx(found.bits_per_byte)
    # The first and third example alone fit the temperature of the second one, which has a half of its own then.
    second = fitted(model, tokenizer, [EXAMPLES[0], EXAMPLES[1], EXAMPLES[2]], **LENGTHS)
    at = [nats(sharper(taught, 1 / t), *tokens(tokenizer, EXAMPLES[1])) for t in (0.5, 1.0, 2.0)]
    assert min(at) * 0.99 < second.nats[1] < max(at) * 1.01


def test_accuracy_is_the_share_of_tokens_that_are_most_likely(taught: Path) -> None:
    model, tokenizer = load(taught)
    hits = count = 0
    for example in EXAMPLES:
        prompt, response = tokens(tokenizer, example)
        with torch.no_grad():
            logits = model.eval()(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
        best = logits.argmax(dim=1)[len(prompt) - 1 : -1].tolist()
        hits += sum(one == two for one, two in zip(best, response, strict=True))
        count += len(response)
    assert 0 < hits < count
    assert predicted(model, tokenizer, EXAMPLES, **LENGTHS).accuracy == hits / count


def test_of_one_example_no_temperature_is_known(places: dict[str, Path]) -> None:
    found = fitted(*load(places["gpt2"]), EXAMPLES[:1], **LENGTHS)
    assert found.bits_per_byte is None
    assert found.temperature is None
