"""One training step of DSKD with cross-model attention, written plainly from the published equations.

    python benchmarks/published_step.py [--threads 2]

    A  = softmax(q k^T / sqrt(2 d_t))      t2s logits = A  t2s(hidden + target)      · student head
    A' = softmax of the transpose          s2t logits = A' s2t(student hidden state) · teacher head
    loss = ((1 - kd_rate) CE + kd_rate (t2s CE + t2s KL + s2t KL)) / number of student labels

It is what a lean step is timed against. Both sides are padded to one length, every term has logits for every position,
the teacher runs in each step, and masks are applied last. Models have random weights and the sizes below: time does
not depend on what they know. Everything is float32 on the CPU.
"""

import argparse
import math
import resource
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from probe.projectors import QUERY, S2T, T2S

SEED = 10
PADDED = 512
"""Positions of either side, as in the published runs."""

PAD = 0
IGNORED = -100
"""What a label is on the prompt and on pads."""

STUDENT_PROMPTS, STUDENT_RESPONSES = (30, 40, 50, 60), (60, 70, 80, 87)
"""Tokens of each sample: 297 student labels."""

TEACHER_PROMPTS, TEACHER_RESPONSES = (28, 37, 47, 56), (57, 66, 75, 82)
"""The larger vocabulary needs fewer tokens for the same text: 280 teacher labels."""

# Embeddings are tied, 16.2 million parameters. No dropout, so that another step can be held against this one.
STUDENT = GPT2Config(
    vocab_size=50_257,
    n_positions=PADDED,
    n_embd=256,
    n_layer=4,
    n_head=4,
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
    bos_token_id=PAD,
    eos_token_id=PAD,
)

# The head is not tied, 127.0 million parameters.
TEACHER = Qwen2Config(
    vocab_size=151_936,
    max_position_embeddings=PADDED,
    hidden_size=384,
    intermediate_size=1_152,
    num_hidden_layers=6,
    num_attention_heads=6,
    num_key_value_heads=2,
    tie_word_embeddings=False,
    bos_token_id=PAD,
    eos_token_id=PAD,
)


class PaddedBatch(NamedTuple):
    """Both sides of a batch, padded on the right.

    Labels are next tokens: the last position of the prompt carries the first token of the response. They are -100 on
    the rest of the prompt and on pads.
    """

    input_ids: Int[Tensor, "batch student"]
    attention_mask: Int[Tensor, "batch student"]
    labels: Int[Tensor, "batch student"]
    teacher_input_ids: Int[Tensor, "batch teacher"]
    teacher_attention_mask: Int[Tensor, "batch teacher"]
    teacher_labels: Int[Tensor, "batch teacher"]
    position_ids: Int[Tensor, "batch student"] | None = None
    """Of the student, where they are not 0, 1, 2 and so on."""


def published_loss(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    projectors: nn.ModuleDict | dict[str, nn.Module],
    batch: PaddedBatch,
    *,
    kd_rate: float = 0.5,
    temperature: float = 2.0,
    teacher_temperature: float = 1.0,
) -> dict[str, Float[Tensor, ""]]:
    """The loss with its graph, and what is logged beside it without one.

    Returns:
        ``loss``; its terms ``nll_loss``, ``t2s_ce_loss``, ``t2s_kd_loss`` and ``s2t_kd_loss``, each divided by the
        number of student labels; ``t2s_acc`` and ``max_t2s_prob``, means over student labels; ``s2t_acc``, a mean over
        teacher labels.
    """
    mask, teacher_mask = batch.labels != IGNORED, batch.teacher_labels != IGNORED
    count = mask.sum()

    own = student(
        batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        output_hidden_states=True,
    )
    nll = _cross_entropy(own.logits, batch.labels)
    with torch.no_grad():
        other = teacher(batch.teacher_input_ids, attention_mask=batch.teacher_attention_mask, output_hidden_states=True)

    align, target = _scores(student, teacher, projectors[QUERY], batch)
    teacher_hidden = other.hidden_states[-1]
    teacher_hidden = teacher_hidden / teacher_hidden.std()

    t2s_hidden = align.softmax(-1) @ projectors[T2S](teacher_hidden + target)
    t2s_logits = t2s_hidden @ student.get_output_embeddings().weight.detach().T
    t2s_ce = _cross_entropy(t2s_logits, batch.labels)
    # The student learns from the teacher only where the projected teacher is right.
    hit = t2s_logits.argmax(-1) == batch.labels
    t2s_kd = _divergence(t2s_logits.detach() / temperature / teacher_temperature, own.logits / temperature, mask & hit)

    s2t_hidden = align.transpose(1, 2).softmax(-1) @ projectors[S2T](own.hidden_states[-1])
    s2t_logits = s2t_hidden @ teacher.get_output_embeddings().weight.detach().T
    # As published, the temperature of the teacher stays out of this term.
    s2t_kd = _divergence(other.logits / temperature, s2t_logits / temperature, teacher_mask)

    with torch.no_grad():
        t2s_probability = (t2s_logits.softmax(-1).amax(-1) * mask).sum()
        s2t_hits = (s2t_logits.argmax(-1) == batch.teacher_labels).sum()
    return {
        "loss": ((1 - kd_rate) * nll + kd_rate * (t2s_ce + t2s_kd + s2t_kd)) / count,
        "nll_loss": nll.detach() / count,
        "t2s_ce_loss": t2s_ce.detach() / count,
        "t2s_kd_loss": t2s_kd.detach() / count,
        "s2t_kd_loss": s2t_kd.detach() / count,
        "t2s_acc": hit.sum() / count,
        "max_t2s_prob": t2s_probability / count,
        "s2t_acc": s2t_hits / teacher_mask.sum(),
    }


def _scores(
    student: PreTrainedModel, teacher: PreTrainedModel, project: nn.Module, batch: PaddedBatch
) -> tuple[Float[Tensor, "batch student_positions teacher_positions"], Float[Tensor, "batch teacher_positions width"]]:
    """Scores of the attention before the softmax, and the embeddings of the teacher's targets that its values hold."""
    mask, teacher_mask = batch.labels != IGNORED, batch.teacher_labels != IGNORED
    # What is matched are pairs of a token and the next one. Neither embedding table learns from the matching.
    token, following = _embedded(student, batch.input_ids, batch.labels, mask)
    teacher_token, teacher_following = _embedded(teacher, batch.teacher_input_ids, batch.teacher_labels, teacher_mask)
    query = project(torch.cat([token, following], dim=-1))
    key = torch.cat([teacher_token, teacher_following], dim=-1)
    # Each is brought to unit deviation over the whole batch, pads included.
    key = key / key.std()
    align = query @ key.transpose(1, 2) / math.sqrt(key.shape[-1])
    both = mask[:, :, None].float() * teacher_mask[:, None, :].float()
    return align + (1 - both) * -1e5, teacher_following / teacher_following.std()


def _cross_entropy(
    logits: Float[Tensor, "batch length vocabulary"], labels: Int[Tensor, "batch length"]
) -> Float[Tensor, ""]:
    """Sum over labels, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")


def _divergence(
    wanted: Float[Tensor, "batch length vocabulary"],
    logits: Float[Tensor, "batch length vocabulary"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, ""]:
    """KL(softmax(wanted) || softmax(logits)), summed over the positions of the mask."""
    each = F.kl_div(logits.log_softmax(-1), wanted.softmax(-1), reduction="none").sum(-1)
    return (each * mask).sum()


def _embedded(
    model: PreTrainedModel,
    input_ids: Int[Tensor, "batch length"],
    labels: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch length width"]]:
    """Embedding rows of tokens and of next tokens; outside of the mask both are token 0."""
    table = model.get_input_embeddings()
    return table(input_ids.where(mask, 0)).detach(), table(labels.where(mask, 0)).detach()


def models(
    student_config: GPT2Config = STUDENT, teacher_config: Qwen2Config = TEACHER, *, seed: int = SEED
) -> tuple[GPT2LMHeadModel, Qwen2ForCausalLM, nn.ModuleDict]:
    """Student, frozen teacher and projectors, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = GPT2LMHeadModel(student_config).train()
        teacher = Qwen2ForCausalLM(teacher_config).eval().requires_grad_(False)
        narrow, wide = student_config.n_embd, teacher_config.hidden_size
        projectors = nn.ModuleDict(
            {
                QUERY: nn.Linear(2 * narrow, 2 * wide),
                T2S: nn.Linear(wide, narrow),
                S2T: nn.Linear(narrow, wide),
            }
        )
    return student, teacher, projectors


def make_batch(
    student_vocabulary: int = STUDENT.vocab_size,
    teacher_vocabulary: int = TEACHER.vocab_size,
    *,
    padded: int = PADDED,
    seed: int = SEED,
) -> PaddedBatch:
    """Four samples of random tokens, of the lengths above."""
    generator = torch.Generator().manual_seed(seed)
    return PaddedBatch(
        *_padded_side(STUDENT_PROMPTS, STUDENT_RESPONSES, student_vocabulary, padded, generator),
        *_padded_side(TEACHER_PROMPTS, TEACHER_RESPONSES, teacher_vocabulary, padded, generator),
    )


def _padded_side(
    prompts: tuple[int, ...], responses: tuple[int, ...], vocabulary: int, padded: int, generator: torch.Generator
) -> tuple[Int[Tensor, "batch padded"], Int[Tensor, "batch padded"], Int[Tensor, "batch padded"]]:
    """Input ids, attention mask and labels of one model."""
    input_ids = torch.full((len(prompts), padded), PAD)
    attention_mask = torch.zeros_like(input_ids)
    labels = torch.full_like(input_ids, IGNORED)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        tokens = torch.randint(1, vocabulary, (prompt + response,), generator=generator)
        # The last token is only ever a label.
        length = len(tokens) - 1
        input_ids[row, :length] = tokens[:-1]
        attention_mask[row, :length] = 1
        labels[row, prompt - 1 : length] = tokens[prompt:]
    return input_ids, attention_mask, labels


def main() -> None:
    """Take one step and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    student, teacher, projectors = models()
    batch = make_batch()
    for name, model in (("student", student), ("teacher", teacher), ("projectors", projectors)):
        print(f"{name}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    counts = [int((labels != IGNORED).sum()) for labels in (batch.labels, batch.teacher_labels)]
    print(f"{counts[0]} student and {counts[1]} teacher labels, padded to {PADDED}, {torch.get_num_threads()} threads")

    began = time.perf_counter()
    result = published_loss(student, teacher, projectors, batch)
    forward = time.perf_counter() - began
    result["loss"].backward()
    total = time.perf_counter() - began
    print(", ".join(f"{name} {value.item():.6g}" for name, value in result.items()))
    # Linux counts the peak in units of 1,024 bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{total:.1f} s a step, of which forward {forward:.1f} s; peak {peak:.1f} GiB")


if __name__ == "__main__":
    main()
