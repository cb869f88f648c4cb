"""The projectors as bytes of ``projector.pt``, and their dtypes."""

import io
from collections.abc import Mapping
from typing import Literal

from probe.adopt import PROJECTORS
from probe.checkpoint import Checkpoint
from probe.errors import MissingExtraError, Problem

Dtype = Literal["bfloat16", "float32"]
SHORT: Mapping[Dtype, str] = {"bfloat16": "bf16", "float32": "fp32"}


def state_dict(checkpoint: Checkpoint, dtype: Dtype) -> bytes:
    """The file ``projector.pt``.

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        remedy = "Run: pip install 'cma-probe[train]'."
        raise MissingExtraError(Problem(PROJECTORS, "torch, to write PyTorch files", "none", remedy)) from error
    state = {
        f"{name}.{key}": torch.tensor(value, dtype=getattr(torch, dtype))
        for name, projector in checkpoint.projectors.items()
        for key, value in projector.tensors.items()
    }
    buffer = io.BytesIO()  # torch has an error of its own for a full disk, and `probe.files` knows the system's
    torch.save(state, buffer)
    return buffer.getvalue()
