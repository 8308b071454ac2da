"""The commands on labels: ask."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.session import Session, command
from sovbroker.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from sovbroker.policy.sensitivity import Answer, Question

__all__ = ["app"]

app = typer.Typer()

FIRST_LETTERS = {"y": "yes", "n": "no", "u": "unknown", "o": "yes", "oui": "yes", "non": "no", "?": "unknown"}


@app.callback()
def group() -> None:
    """Stay a group, although there is one command."""


@command(app, "ask")
def ask(
    session: Session,
    *,
    about: Annotated[str, typer.Argument(help="Which data it is about, in words that another person understands.")],
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="QUESTION=ANSWER", help="Answer beforehand: scope, sensitive, harm."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who answers [default: the user].")] = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", metavar="FILE", help="Add the record to this file, a JSON line each.")
    ] = None,
) -> None:
    """Ask three questions (SREN law, art. 31), and say whether data carries the label sren31.

    What is not known counts as yes. The answers are evidence: with --evidence they are kept, with who gave them, when,
    and to which questions.
    """
    from datetime import UTC, datetime  # noqa: PLC0415  # `--help` must not wait for it

    from sovbroker.policy.sensitivity import QUESTIONS, Answer, assess  # noqa: PLC0415  # as above

    given = _given(answers or [])
    for question in QUESTIONS:
        if question.id not in given:
            given[question.id] = _asked(question)
        if given[question.id] is Answer.NO:
            break
    found = assess(given, about=about, by=by or getpass.getuser(), at=datetime.now(UTC))
    record = found.to_dict()
    if evidence is not None:
        _keep(evidence, record)
    if session.options.json:
        session.screen.data(record)
        return
    session.screen.say(f"label: {found.label or 'none by this law'}")
    session.screen.say(f"because {found.because}")
    if evidence is not None:
        session.screen.say(f"kept in {evidence}")


def _given(texts: list[str]) -> dict[str, Answer]:
    given: dict[str, Answer] = {}
    for text in texts:
        name, _, answer = text.partition("=")
        given[name.strip()] = _read(answer)
    return given


def _read(text: str) -> Answer:
    from sovbroker.policy.sensitivity import Answer  # noqa: PLC0415  # as above

    word = text.strip().casefold()
    try:
        return Answer(FIRST_LETTERS.get(word, word))
    except ValueError:
        raise InvalidArgument(f"`{text}` is no answer; say yes, no or unknown") from None


def _asked(question: Question) -> Answer:
    """Ask on the terminal until there is an answer."""
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked; give --answer {question.id}=yes, no or unknown: {question.text}")
    sys.stderr.write(f"\n{question.text}\n  {question.hint}\n")
    while True:
        sys.stderr.write("yes, no or unknown: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise ConfigError(f"there is no answer to: {question.text}")
        try:
            return _read(line)
        except InvalidArgument as error:
            sys.stderr.write(f"{error}\n")


def _keep(path: Path, record: dict[str, object]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InvalidArgument(f"cannot write `{path}`: {error.strerror}; the answers were not kept") from error
