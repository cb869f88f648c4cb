"""Two tiny language models with the tokenizers of the demo, laid out as `save_pretrained` does it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from probe.gold.pairs import read_pairs
from probe.models.sources import bundled_dir

FOREIGN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def tokenizer(role: str, template: str | None = PLAIN, marks: Sequence[str] = ()) -> Any:
    """The student's is that of the demo. The teacher's is another one of bytes, for TRL's GOLD reads no others."""
    place = bundled_dir() / "demo" / "student"
    if role == "student":
        made: Any = AutoTokenizer.from_pretrained(place)
    else:
        backend = Tokenizer.from_str(_learned())
        made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", bos_token="<s>")
    made.pad_token = made.eos_token
    if marks:
        made.add_special_tokens({"additional_special_tokens": list(marks)})
    made.chat_template = template
    return made


@cache
def _learned() -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([row.text for row in read_pairs()], learner)
    return made.to_str()


def student(tokenizer: Any) -> Any:
    """A GPT-2 of two layers."""
    eos = tokenizer.eos_token_id
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, **shape))


def teacher(tokenizer: Any) -> Any:
    """A Llama of two layers."""
    shape = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape))


def saved(model: Any, tokenizer: Any, place: Path) -> Path:
    """The directory that holds both."""
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def talks(count: int = 24) -> list[dict[str, Any]]:
    """Rows of a chat data set."""
    names = "file", "directory", "maximum", "character", "naïve copy", "exception"
    return [
        {
            "messages": [
                {"role": "user", "content": f"Describe the {names[n % 6]} number {n}."},
                {"role": "assistant", "content": f"Return the {names[n % 6]} of the path, or {n} if it is missing."},
            ]
        }
        for n in range(count)
    ]
