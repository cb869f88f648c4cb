"""What the user asks, and what is found: a verdict and facts for each topic, and what to do about it."""

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
"""What findings are about, in the order in which they are told."""

Value = TypeVar("Value")


class Verdict(StrEnum):
    """Whether something is as it should be, cannot be told, or stands in the way of probing."""

    OK = "ok"
    UNVERIFIED = "unverified"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one topic, and what to do where there is something to do."""

    topic: str
    verdict: Verdict
    facts: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user says and asks beyond the directory."""

    student: str | None
    teacher: str | None
    align: Path | None
    texts: Sequence[str]


@dataclass
class Notes:
    """Findings as they come."""

    directory: Path
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, topic: str, verdict: Verdict, *facts: str, remedy: str = "") -> None:
        """Note what was found."""
        self.findings.append(Finding(topic, verdict, tuple(map(self._short, facts)), remedy))

    def _short(self, fact: str) -> str:
        """The path of the directory is told once, above all findings."""
        here, above = self.directory, self.directory.parent
        return fact.removeprefix(f"{here}: ").replace(f"{here}/", "").replace(f"{above}/{ARGUMENTS}", f"../{ARGUMENTS}")

    def attempt(self, topic: str, call: Callable[[], Value]) -> Value | None:
        """The result; or None, and findings in its place."""
        try:
            return call()
        except ProbeError as error:
            self._refuse(topic, *error.problems)
        # Broad: files come damaged in more ways than their readers have errors for, and the next topic is waiting.
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            self.add(topic, Verdict.PROBLEM, got, remedy="The files are damaged or of another format: save them again.")
        return None

    def _refuse(self, topic: str, *problems: Problem) -> None:
        """One finding for all problems that are mended the same way."""
        for remedy in dict.fromkeys(problem.remedy for problem in problems):
            same = [fact_of(problem) for problem in problems if problem.remedy == remedy]
            self.add(topic, Verdict.PROBLEM, *same, remedy=remedy)


def unnoted(call: Callable[[], Value]) -> Value | None:
    """The result or None, where a failure is no fault of the directory's."""
    return Notes(Path()).attempt("directory", call)


def fact_of(problem: Problem) -> str:
    """A problem without its remedy."""
    return f"{problem.where}: expected {problem.expected}; got {problem.got}"
