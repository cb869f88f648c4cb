"""The demo's two tokenizers: the student's a byte-level BPE, the teacher's a Unigram model with byte fallback."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STUDENT_PIECES, TEACHER_PIECES = 2048, 4096
STUDENT_EOS, TEACHER_BOS, TEACHER_EOS, TEACHER_UNK = "<|endoftext|>", "<s>", "</s>", "<unk>"


def train_student_tokenizer(texts: Sequence[str], directory: Path) -> None:
    """GPT-2's kind: byte-level BPE. Deterministic."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=STUDENT_PIECES,
        special_tokens=[STUDENT_EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    _save(tokenizer, directory, {"eos_token": STUDENT_EOS})


def train_teacher_tokenizer(texts: Sequence[str], directory: Path) -> None:
    """Llama's kind: SentencePiece with a dummy space in front and byte fallback, but a Unigram model.

    The vocabulary is trained by sentencepiece with one thread, which gives the same result every time, as the trainer
    of the tokenizers library does not.
    """
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="unigram",
        vocab_size=TEACHER_PIECES,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    trained: Any = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocabulary = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(trained.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=trained.unk_id(), byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    tokenizer.add_special_tokens([TEACHER_UNK, TEACHER_BOS, TEACHER_EOS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{TEACHER_BOS} $A", special_tokens=[(TEACHER_BOS, trained.bos_id())]
    )
    _save(tokenizer, directory, {"bos_token": TEACHER_BOS, "eos_token": TEACHER_EOS, "unk_token": TEACHER_UNK})


def _save(tokenizer: Any, directory: Path, special: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}, indent=2) + "\n"
    (directory / "tokenizer_config.json").write_text(config, encoding="utf-8")
