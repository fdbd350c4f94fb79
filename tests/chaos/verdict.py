"""What must be true of a run, whatever happened in it.

A rule is a function: it yields what shows that it was broken. Its name is that of the violation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from . import rules_of_accounts, rules_of_clients, rules_of_prompts
from .case import Case

RULES: Final[Sequence[Callable[[Case], Iterator[str]]]] = (
    rules_of_accounts.no_limit_is_exceeded,
    rules_of_accounts.an_account_rests_as_long_as_poe_says,
    rules_of_accounts.an_account_is_one_device,
    rules_of_accounts.an_account_has_one_websocket,
    rules_of_accounts.an_account_answers_no_more_at_once_than_it_may,
    rules_of_accounts.a_withdrawn_account_is_left_alone,
    rules_of_prompts.no_prompt_is_sent_twice,
    rules_of_prompts.a_request_is_not_sent_over_and_over,
    rules_of_prompts.every_bot_is_finished_or_stopped,
    rules_of_prompts.an_answer_is_whole_and_the_client_s_own,
    rules_of_prompts.an_answer_was_really_given,
    rules_of_prompts.no_answer_is_lost,
    rules_of_clients.errors_have_causes,
    rules_of_clients.a_failure_is_told_as_it_is_logged,
    rules_of_clients.nobody_is_told_to_pay_again,
    rules_of_clients.the_server_has_no_bugs,
    rules_of_clients.no_client_is_refused_while_an_account_is_free,
    rules_of_clients.first_come_is_first_served,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, and what shows it."""

    rule: str
    evidence: str


def judge(case: Case) -> list[Violation]:
    """Return all violations, by rule."""
    return [
        Violation(rule.__name__.replace("_", " "), shown) for rule in RULES for shown in rule(case)
    ]
