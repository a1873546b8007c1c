"""Names that adapters had in AdapterHub's own index, closed in 2024.

The index moved to the hub as the organisation `AdapterHub`, one repository for each file, by the
file's name; whose folder it lay in no longer matters. Names of tasks (`sentiment/sst-2@ukp`)
depended on the backbone and on the index, so they can no longer be looked up.

Source: https://github.com/adapter-hub/Hub; `resolve_adapter_path` of the `adapters` library.
"""

from __future__ import annotations

import re

from adapter_runtime.errors import SourceError

ORGANISATION = "AdapterHub"

_FILE = re.compile(
    r"@[\w.-]{1,96}/(?P<name>[\w.-]{1,96}?)(\.json|\.zip)?(@(?P<revision>[\w./-]{1,96}))?", re.ASCII
)
_KINDS = (
    "argument|chunk|comsense|deprel|dialogue|formality|lingaccept|ner|nli|pos|qa|rc|sentiment|"
    "semtag|sts|summarization|wordsence"
)
_TASKS = (
    "boolq|cb|cola|commonsense_qa|conll2000|conll2003|copa|cosmosqa|csqa|drop|emotion|hellaswag|"
    "hotpotqa|imdb|mnli|mrpc|multinli|multirc|newsqa|qnli|qqp|quartz|race|record|rotten_tomatoes|"
    "rte|scicite|scitail|sick|siqa|snli|squad1|squad2|sst-2|sts-b|wic|wikihop|winogrande|xsum"
)
_TASK = re.compile(
    rf"(({_KINDS})/[\w.-]+|({_TASKS})|[a-z]{{2,3}}/wiki)(@[\w.-]+)?", re.ASCII | re.IGNORECASE
)


def hub_source(source: str) -> str | None:
    """Today's Source of `@org/name` or `@org/name@revision`; None for anything else."""
    match = _FILE.fullmatch(source)
    if match is None:
        return None
    revision = match["revision"]
    at = f"@{revision.replace('/', '%2F')}" if revision else ""
    return f"hf://{ORGANISATION}/{match['name']}{at}"


def is_old_task(source: str) -> bool:
    """Whether it is a task's name, as only the closed index could look up."""
    return _TASK.fullmatch(source) is not None


def refuse_old_name(source: str) -> None:
    """Refuse what only the closed index could look up.

    Raises:
        SourceError: it is the name of a task, or begins with `@`; says what to write today.
    """
    if source.startswith("@"):
        raise SourceError(
            f"{source}: an old AdapterHub name has the form @org/name; write that, or the "
            f"repository itself, such as hf://{ORGANISATION}/name."
        )
    if not is_old_task(source):
        return
    words = source.partition("@")[0].replace("/", "_")
    task = source.partition("@")[0].split("/")[-1].replace("-", "")
    raise SourceError(
        f"{source}: this names a task in AdapterHub's index, which was closed; name a repository "
        f"instead, such as hf://{ORGANISATION}/bert-base-uncased-pf-{task} or "
        f"hf://{ORGANISATION}/bert-base-uncased_{words}_pfeiffer, or the old @org/name."
    )
