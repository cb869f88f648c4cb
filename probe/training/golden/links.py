"""The links of a golden batch: published chunks for CLA and CLP, time warping for MinED."""

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from probe.training.criteria.links import warped_links
from probe.training.criteria.published import published_chunks
from probe.training.criteria.views import Positions
from probe.training.golden.numbers import Golden
from probe.training.mined_alignment import one_to_one

WORD_START = "\u0120"


def chunk_mask(golden: Golden, case: str) -> Bool[Tensor, "batch student teacher"]:
    """The published chunks of a batch, from where its input tokens end."""
    ends = golden.given[f"inputs.{case}.offsets"], golden.given[f"inputs.{case}.teacher_qwen_offsets"]
    pairs = zip(*(side.tolist() for side in ends), strict=True)
    return torch.from_numpy(np.stack([published_chunks(*pair).mask for pair in pairs]))


def mined_links(golden: Golden, student: Positions, teacher: Positions) -> Bool[Tensor, "batch student teacher"]:
    """The links of time warping, with tokens paired by the strings that the numbers keep."""
    strings = [golden.numbers["min_edit"][f"{side}_tokens"] for side in ("student", "teacher")]
    vocabulary_map = golden.given["inputs.tea2stu_id_mapping"].numpy()
    links = torch.zeros((len(student.ids), student.ids.shape[1], teacher.ids.shape[1]), dtype=torch.bool)
    for row in range(len(links)):
        places = [side.mask[row].nonzero()[:, 0] for side in (student, teacher)]
        ids = [side.inputs[row][place].numpy() for side, place in zip((student, teacher), places, strict=True)]
        texts = [[side[i].replace(WORD_START, "") for i in part] for side, part in zip(strings, ids, strict=True)]
        partner = one_to_one(texts[1], texts[0])
        linked = torch.from_numpy(warped_links(partner, ids[0], ids[1], vocabulary_map))
        links[row, places[0][:, None], places[1][None, :]] = linked
    return links
