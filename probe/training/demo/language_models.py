"""Two tiny language models, untrained: a GPT-2 as student, a Llama as teacher."""

from typing import Any

from probe.training.demo.tokenizers import STUDENT_PIECES, TEACHER_PIECES

POSITIONS = 256


def new_student(eos_id: int) -> Any:
    """An untrained GPT-2 of 0.7 M parameters; embedding and head are tied."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=STUDENT_PIECES,
        n_positions=POSITIONS,
        n_embd=96,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=eos_id,
        eos_token_id=eos_id,
    )
    return GPT2LMHeadModel(config)


def new_teacher(bos_id: int, eos_id: int) -> Any:
    """An untrained Llama of 1.3 M parameters; embedding and head are tied."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=TEACHER_PIECES,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=bos_id,
        eos_token_id=eos_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)
