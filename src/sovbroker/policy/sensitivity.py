"""Three questions that turn the cumulative conditions of the SREN law, art. 31, into a label.

The law (2024-449 of 21 May 2024, art. 31; decree 2026-272) binds State administrations, State operators and certain
public interest groups when they use a private cloud provider, for data of particular sensitivity whose breach is likely
to harm what the article protects. All conditions must hold; whoever does not know whether one does, has to act as if it
did. The wording here is ours, and the gist of the two conditions is from memory of the text: the owner of the data
decides, case by case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sovbroker.errors import InvalidArgument

__all__ = ["LABEL", "QUESTIONS", "SOURCES", "Answer", "Question", "Sensitivity", "assess"]

LABEL: Final = "sren31"
"""The category that data carry which all three conditions are met for."""

SOURCES: Final = (
    "https://legiseye.com/fr/law/france/1b606cc6",
    "https://numerique.gouv.fr/offre-accompagnement/reference-vade-mecum-sensibilite-donnees",
)
"""Where the law and the guide on sensitivity are read; a record names them."""


class Answer(StrEnum):
    """What somebody answers. `UNKNOWN` counts as yes: what is not known must not let data out."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """One condition: `text` is asked, `hint` says what is meant."""

    id: str
    text: str
    hint: str


QUESTIONS: Final = (
    Question(
        "scope",
        "Is the data's owner a State administration, a State operator or a listed public interest group?",
        "Only they are bound, and only where they use a private cloud provider.",
    ),
    Question(
        "sensitive",
        "Is the data of particular sensitivity?",
        "Secrets that the law protects (CRPA, art. L.311-5 and L.311-6), or data that an essential mission of the "
        "State needs: national security, public order, the health and life of persons.",
    ),
    Question(
        "harm",
        "Is a breach likely to harm public order, public security, the health or life of persons, or intellectual "
        "property?",
        "Think of disclosure, and of loss of access too.",
    ),
)
"""The questions, in the order in which they are asked. The first `no` settles it."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The outcome, with everything that is needed to account for it later.

    `label` is `sren31`, or None where a condition does not hold; `because` says it in a sentence. `at` is when the
    answers were given, `by` who gave them and `about` which data; `questions` is the SHA-256 of the questions as they
    were asked, so that an old record can be told from one of other wording.
    """

    label: str | None
    because: str
    answers: Mapping[str, Answer]
    about: str
    by: str
    at: datetime
    questions: str

    def to_dict(self) -> dict[str, object]:
        """Return the record as JSON types."""
        return {
            "law": "2024-449 of 21 May 2024, art. 31; decree 2026-272",
            "about": self.about,
            "by": self.by,
            "at": self.at.isoformat(),
            "answers": [
                {"id": q.id, "question": q.text, "answer": self.answers[q.id].value}
                for q in QUESTIONS
                if q.id in self.answers
            ],
            "label": self.label,
            "because": self.because,
            "questions": self.questions,
            "sources": list(SOURCES),
        }


def assess(answers: Mapping[str, Answer], *, about: str, by: str, at: datetime) -> Sensitivity:
    """Return the label that the answers give, as a record.

    Questions after the first `no` need no answer. Raises InvalidArgument where an answer is missing or to no question,
    where nobody answers (`by`), where it is about nothing, and for a time without a zone.
    """
    unknown = sorted(set(answers) - {question.id for question in QUESTIONS})
    if unknown:
        raise InvalidArgument(f"there is no question `{unknown[0]}`; they are {', '.join(q.id for q in QUESTIONS)}")
    if not about.strip() or not by.strip():
        raise InvalidArgument("say which data it is about, and who answers: the record is evidence")
    if at.tzinfo is None:
        raise InvalidArgument(f"the time {at.isoformat()} has no zone; give one, such as datetime.now(UTC)")
    given: dict[str, Answer] = {}
    for question in QUESTIONS:
        answer = answers.get(question.id)
        if answer is None:
            raise InvalidArgument(f"the question `{question.id}` is not answered: {question.text}")
        given[question.id] = answer
        if answer is Answer.NO:
            because = f"`{question.id}` is answered no, and every condition has to hold"
            return Sensitivity(None, because, given, about, by, at.astimezone(UTC), _digest())
    open_ones = [f"`{name}`" for name, answer in given.items() if answer is Answer.UNKNOWN]
    because = "every condition holds"
    if open_ones:
        because += f", as long as {' and '.join(open_ones)} {'is' if len(open_ones) == 1 else 'are'} not known"
    return Sensitivity(LABEL, because, given, about, by, at.astimezone(UTC), _digest())


def _digest() -> str:
    asked = [[question.id, question.text, question.hint] for question in QUESTIONS]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=True).encode()).hexdigest()
