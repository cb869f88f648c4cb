import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from directories import save_model
from scipy.stats import chisquare
from tokenizers import decoders, processors

from probe.errors import TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.evaluation.generate import GenerationSettings, GumbelNoise, generate, generate_rows

PROMPTS = (
    "Return the path.",
    "a",
    "Read a naïve café menu; read it twice.",
    "Write",
    "The file is closed, and the file",
)
ROOM = GenerationSettings(temperature=0.0, max_prompt=24, max_length=48)
SAMPLING = GenerationSettings(temperature=0.8, top_p=0.9, max_prompt=24, max_length=48)
MODELS = ("gpt2", "llama", "qwen2", "gemma3")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models, and tokenizers that put BOS first where there is one and decode to pieces: no two texts look the same."""
    base = tmp_path_factory.mktemp("models")
    places = {name: save_model(name, base / name, seed=number) for number, name in enumerate(MODELS)}
    for name, place in places.items():
        change_tokenizer(place, decoder=None, **({} if name == "gpt2" else {"post_processor": BOS_FIRST}))
    return places


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer of Llama's kind that decodes to text."""
    place = save_model("llama", tmp_path_factory.mktemp("speaking"))
    change_tokenizer(place, decoder=TO_TEXT, post_processor=BOS_FIRST)
    return Tokenizer.load(place)


BOS_FIRST = json.loads(processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]).__getstate__())
TO_TEXT = json.loads(
    decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    ).__getstate__()
)


def change_tokenizer(place: Path, **parts: Any) -> None:
    file = place / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | parts), encoding="utf-8")


def load(place: Path) -> tuple[Any, Tokenizer]:
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    if hasattr(model, "transformer"):  # as they are initialised, GPT-2's positions would hardly change a thing
        with torch.no_grad():
            model.transformer.wpe.weight.normal_(std=0.7, generator=torch.Generator().manual_seed(0))
    return model, Tokenizer.load(place)


def one_by_one(
    model: Any,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    choose: Callable[[int, np.ndarray], int],
    prompts: Sequence[str] = PROMPTS,
) -> list[str]:
    """The plainest loop: each prompt alone, no padding, no mask, no cache."""
    backend = tokenizers.Tokenizer.from_file(str(tokenizer.path))
    texts: list[str] = []
    for row, prompt in enumerate(prompts):
        ids = backend.encode(prompt, add_special_tokens=True).ids[: settings.max_prompt]
        begin = len(ids)
        while len(ids) - begin < settings.max_length - settings.max_prompt:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double().numpy()
            ids.append(choose(row, logits))
            if ids[-1] == tokenizer.eos_id:
                break
        texts.append(backend.decode(ids[begin:], skip_special_tokens=True))
    return texts


def likeliest(row: int, logits: np.ndarray) -> int:
    return int(logits.argmax())


# Whatever the batch


@pytest.mark.parametrize("name", MODELS)
def test_greedy_text_is_that_of_each_prompt_alone_whatever_the_batch(name: str, places: dict[str, Path]):
    model, tokenizer = load(places[name])
    expected = one_by_one(model, tokenizer, ROOM, likeliest)
    assert len(set(expected)) == len(PROMPTS)  # a model that says one thing to all would prove nothing
    for batch_size in (1, 2, 5):
        assert generate(model, tokenizer, PROMPTS, ROOM, batch_size=batch_size, seed=0) == expected


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_sample_is_a_function_of_seed_and_row_whatever_the_batch(name: str, places: dict[str, Path]):
    model, tokenizer = load(places[name])
    streams = [np.random.default_rng((7, row)) for row in range(len(PROMPTS))]

    def sample(row: int, logits: np.ndarray) -> int:
        logits = logits / SAMPLING.temperature
        order = np.argsort(-logits)
        shares = np.exp(logits[order] - logits.max())
        before = np.cumsum(shares) - shares
        logits[order[before >= SAMPLING.top_p * shares.sum()]] = -np.inf
        return int((logits - np.log(streams[row].standard_exponential(len(logits)))).argmax())

    expected = one_by_one(model, tokenizer, SAMPLING, sample)
    for batch_size in (1, 2, 5):
        assert generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=batch_size, seed=7) == expected
    assert generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=8) != expected
    some = {row: PROMPTS[row] for row in (4, 1)}
    parts = dict(generate_rows(model, tokenizer, some, SAMPLING, batch_size=2, seed=7))
    assert parts == {row: expected[row] for row in some}


def test_equal_prompts_get_samples_of_their_own(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    assert len(set(generate(model, tokenizer, ["Read"] * 4, SAMPLING, batch_size=4, seed=0))) == 4


def test_noise_makes_the_greedy_choice_an_exact_draw():
    logits = torch.tensor([2.0, 0.0, 1.0, -torch.inf, -1.0])
    rows = 20_000
    noise = GumbelNoise([np.random.default_rng((0, row)) for row in range(rows)])
    ids = torch.zeros((rows, 1), dtype=torch.long)
    first, second = (noise(ids, logits.expand(rows, -1)).argmax(dim=1) for _ in range(2))
    allowed = [0, 1, 2, 4]
    for drawn in (first, second):
        counts = torch.bincount(drawn, minlength=5)
        assert counts[3] == 0
        expected = rows * logits.softmax(0)[allowed].double()
        assert chisquare(counts[allowed], expected * rows / expected.sum()).pvalue > 1e-3
    # Steps are independent: both draws agree as often as chance has it.
    agreement = logits.softmax(0).square().sum().item()
    assert (first == second).double().mean().item() == pytest.approx(agreement, abs=0.015)


# Rules


def test_no_sequence_of_tokens_comes_twice(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    written: list[Any] = []
    original = model.generate
    model.generate = lambda **asked: written.append(original(**asked)) or written[-1]

    def repeats(size: int) -> int:
        """Trigrams that end in the response and were there before."""
        settings = GenerationSettings(temperature=0.0, no_repeat_ngram_size=size, max_prompt=8, max_length=64)
        generate(model, tokenizer, ["the path of the file"], settings, batch_size=1, seed=0)
        ids = written[-1].sequences[0].tolist()
        grams = [tuple(ids[i : i + 3]) for i in range(len(ids) - 2)]
        return sum(grams[i] in grams[:i] for i in range(len(tokenizer.encode("the path of the file")) - 2, len(grams)))

    assert repeats(0) > repeats(3) == 0


def test_a_response_ends_at_eos_and_at_its_room(places: dict[str, Path], tmp_path: Path):
    model, tokenizer = load(places["gpt2"])
    whole = [text.split(" ") for text in generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=0)]
    assert [len(pieces) for pieces in whole] == [24] * 5
    # A piece in the midst of what the first says is declared to be the end.
    end = next(piece for piece in whole[0][8:] if piece not in whole[0][:8])
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    ending = generate(model, Tokenizer.load(tmp_path), PROMPTS, SAMPLING, batch_size=5, seed=0)
    assert ending == [" ".join(pieces[: [*pieces, end].index(end)]) for pieces in whole]
    assert len(ending[0].split(" ")) >= 8


@pytest.mark.parametrize("name", MODELS)
def test_rows_that_have_ended_are_computed_no_more(name: str, places: dict[str, Path], tmp_path: Path):
    model, tokenizer = load(places[name])
    varied = replace(SAMPLING, temperature=20.0)  # at less, a random Gemma repeats one piece
    first, second = (said.split(" ") for said in generate(model, tokenizer, PROMPTS[:2], varied, batch_size=2, seed=0))
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, __, asked: seen.append(len(asked["input_ids"])), with_kwargs=True)
    end = next(piece for piece in first[3:] if piece not in (*first[:3], *second))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    ending = generate(model, Tokenizer.load(tmp_path), PROMPTS[:2], varied, batch_size=2, seed=0)
    assert ending == [" ".join(first[: first.index(end)]), " ".join(second)]
    assert seen == [2] * (24 - seen.count(1)) + [1] * seen.count(1)
    assert seen.count(1) > 0


class Scripted:
    """A model that says what it is told, and keeps what it was asked."""

    config = SimpleNamespace(max_position_embeddings=64)
    generation_config = None
    device = torch.device("cpu")
    training = False

    def __init__(self, *responses: list[int]) -> None:
        self.responses = responses
        self.asked: dict[str, Any] = {}

    def generate(self, **asked: Any) -> SimpleNamespace:
        self.asked = asked
        sequences = torch.cat([asked["input_ids"], torch.tensor(self.responses)], dim=1)
        return SimpleNamespace(sequences=sequences, past_key_values=transformers.DynamicCache())

    def eval(self) -> None: ...

    def train(self, mode: bool) -> None: ...


def test_prompts_are_cut_as_in_training_and_padded_on_the_left_with_their_special_tokens(speaking: Tokenizer):
    prompts = ["a", "Return the path of the file. " * 9]
    model = Scripted([5] * 24, [6] * 24)
    generate(model, speaking, prompts, ROOM, batch_size=2, seed=0)
    long = [1, *speaking.encode(prompts[1])][:24]
    short = [1, *speaking.encode("a")]
    padding = 24 - len(short)
    assert model.asked["input_ids"].tolist() == [long, [2] * padding + short]
    assert model.asked["attention_mask"].tolist() == [[1] * 24, [0] * padding + [1] * len(short)]
    config = model.asked["generation_config"]
    assert (config.max_new_tokens, config.eos_token_id) == (24, 2)  # at EOS it stops, and does not only cut


def test_text_is_without_special_tokens_and_in_the_order_of_the_prompts(speaking: Tokenizer):
    long, short = speaking.encode("naïve café"), speaking.encode("Read it")
    # The longer prompt is generated first; <unk> and <s> come in between; nothing that follows EOS counts.
    size = len(long) + 1
    model = Scripted([*long, 2], [0, 1, *short, 2, *long][:size])
    assert generate(model, speaking, ["a", "Return the path."], ROOM, batch_size=2, seed=0) == [
        "Read it",
        "naïve café",
    ]


def test_no_prompts_give_no_responses(places: dict[str, Path]):
    assert generate(Scripted(), Tokenizer.load(places["gpt2"]), [], ROOM, batch_size=2, seed=0) == []


# What surrounds it


def test_the_models_own_settings_have_no_say_and_come_back(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    expected = generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=0)
    own = transformers.GenerationConfig(repetition_penalty=5.0, top_k=1, suppress_tokens=[0, 1, 2, 70], min_length=9)
    model.generation_config = own
    kept = deepcopy(own.to_dict())
    assert generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=0) == expected
    assert model.generation_config is own
    assert own.to_dict() == kept


def test_a_model_in_training_writes_without_dropout_and_trains_on(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    expected = generate(model, tokenizer, PROMPTS, ROOM, batch_size=5, seed=0)
    model.train()
    assert generate(model, tokenizer, PROMPTS, ROOM, batch_size=5, seed=0) == expected
    assert model.training


def test_no_global_random_state_is_read_or_changed(places: dict[str, Path]):
    model, tokenizer = load(places["gpt2"])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    expected = generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert generate(model, tokenizer, PROMPTS, SAMPLING, batch_size=5, seed=0) == expected


def test_a_bar_is_drawn_on_a_terminal_alone(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    tokenizer = Tokenizer.load(places["gpt2"])
    generate(Scripted([tokenizer.eos_id]), tokenizer, ["a"], ROOM, batch_size=1, seed=0)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    generate(Scripted([tokenizer.eos_id]), tokenizer, ["a"], ROOM, batch_size=1, seed=0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Generating" in err


# Bad input


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": -2},
        {"max_prompt": 0},
        {"max_length": 256},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]):
    with pytest.raises(TrainingError, match=f"^{next(iter(wrong))}: expected"):
        GenerationSettings(**wrong)


def test_bad_calls_are_refused(places: dict[str, Path], tmp_path: Path):
    model, tokenizer = Scripted([1]), Tokenizer.load(places["gpt2"])
    for batch_size, seed in ((0, 0), (1, -1)):
        with pytest.raises(TrainingError, match="a batch size above 0 and a seed from 0"):
            generate(model, tokenizer, ["a"], ROOM, batch_size=batch_size, seed=seed)
    with pytest.raises(TrainingError, match="prompt 1: expected at least one token"):
        generate(model, tokenizer, ["a", ""], ROOM, batch_size=1, seed=0)
    with pytest.raises(TrainingError, match="max_length: expected at most 64 tokens; got 512"):
        generate(model, tokenizer, ["a"], GenerationSettings(), batch_size=1, seed=0)
