"""What a checkpoint directory is, what it lacks, and what to do about it: the findings behind ``probe-models doctor``.

Probing stops at the first thing that is wrong, for it must not guess. This goes on to the end: each part of the
directory gets a verdict of its own, and whatever cannot be read becomes a finding, never an error.
"""

from probe.align_jsonl import Alignment, read_alignments
from probe.doctor.diagnosis import Diagnosis, diagnose
from probe.doctor.directory import Epoch, find_epochs
from probe.doctor.findings import Finding, Verdict
from probe.doctor.fit import KeyScaleFit, fit_key_scale
from probe.doctor.hashes import table_sha256

__all__ = [
    "Alignment",
    "Diagnosis",
    "Epoch",
    "Finding",
    "KeyScaleFit",
    "Verdict",
    "diagnose",
    "find_epochs",
    "fit_key_scale",
    "read_alignments",
    "table_sha256",
]
