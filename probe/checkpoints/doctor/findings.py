"""The request of the user, and the findings: a verdict and facts for each topic, and what to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from probe.checkpoints.dskd import ARGUMENTS
from probe.errors import ProbeError, Problem

STUDENT, TEACHER = "student", "teacher"
TOPICS = (
    *("directory", "arguments", "criterion", STUDENT, TEACHER, "projectors", "query"),
    *("key scale", "batches", "EOS", "alignment"),
)
"""The topics of findings, in the order in which they are printed."""

Value = TypeVar("Value")


class Verdict(StrEnum):
    """Whether something is right, cannot be verified, or prevents probing."""

    OK = "ok"
    UNVERIFIED = "unverified"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one topic, and what to do, if anything."""

    topic: str
    verdict: Verdict
    facts: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user gives besides the directory."""

    student: str | None
    teacher: str | None
    align: Path | None
    texts: Sequence[str]


@dataclass
class Notes:
    """Collects findings."""

    directory: Path
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, topic: str, verdict: Verdict, *facts: str, remedy: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(topic, verdict, tuple(map(self._short, facts)), remedy))

    def _short(self, fact: str) -> str:
        """Shorten paths, because the directory is printed once above all findings."""
        here, above = self.directory, self.directory.parent
        return fact.removeprefix(f"{here}: ").replace(f"{here}/", "").replace(f"{above}/{ARGUMENTS}", f"../{ARGUMENTS}")

    def attempt(self, topic: str, call: Callable[[], Value]) -> Value | None:
        """The result of the call; if it fails, None, and a finding is added."""
        try:
            return call()
        except ProbeError as error:
            self._refuse(topic, *error.problems)
        # Broad, because damaged files can raise any error, and the other topics must still be examined.
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            self.add(
                topic, Verdict.PROBLEM, got, remedy="The files are damaged or have another format: save them again."
            )
        return None

    def _refuse(self, topic: str, *problems: Problem) -> None:
        """Add one finding for all problems with the same remedy."""
        for remedy in dict.fromkeys(problem.remedy for problem in problems):
            same = [fact_of(problem) for problem in problems if problem.remedy == remedy]
            self.add(topic, Verdict.PROBLEM, *same, remedy=remedy)


def unnoted(call: Callable[[], Value]) -> Value | None:
    """The result of the call, or None if it fails, without a finding."""
    return Notes(Path()).attempt("directory", call)


def fact_of(problem: Problem) -> str:
    """A problem without its remedy."""
    return f"{problem.where}: expected {problem.expected}; got {problem.got}"
