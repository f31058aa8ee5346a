"""The answer to why a phone does not ring."""

from enum import StrEnum
from typing import Any

import msgspec

from plantel.language import Language, Text
from plantel.why.facts import Trace
from plantel.why.findings import Effect, Finding


class Verdict(StrEnum):
    """Whether the phone rings when a call comes into the campaign."""

    NO = "no"
    PARTLY = "partly"
    """On some servers only."""
    MAYBE = "maybe"
    """With a condition, or after others."""
    YES = "yes"


_CONCLUSIONS = {
    Verdict.NO: Text("It does not ring: {why}.", "No suena: {why}."),
    Verdict.PARTLY: Text("It does not ring everywhere: {why}.", "No suena en todas partes: {why}."),
    Verdict.MAYBE: Text(
        "It rings, but not always or not as it should: {why}.", "Suena, pero no siempre o no como debe: {why}."
    ),
    Verdict.YES: Text("Nothing that can be seen keeps it from ringing.", "Nada que se pueda ver impide que suene."),
}


class Told(msgspec.Struct, frozen=True):
    """A finding in words. `params`: what the message says, for programs."""

    code: str
    effect: Effect
    server: str | None
    message: str
    params: dict[str, Any]


class Explanation(msgspec.Struct, frozen=True):
    """A report in words. `rings`: `no`, `partly` (on some servers only), `maybe` (see what `limits`) or `yes`."""

    agent: str
    campaign: str | None
    interface: str | None
    rings: Verdict
    conclusion: str
    findings: list[Told]


class Report(msgspec.Struct, frozen=True):
    """The answer for one campaign. `findings`: the most decisive first."""

    trace: Trace
    verdict: Verdict
    findings: tuple[Finding, ...]

    def conclude(self, language: Language) -> str:
        """One sentence."""
        why = self.findings[0].say(language) if self.findings else ""
        return _CONCLUSIONS[self.verdict].say(language, why=why)

    def explain(self, language: Language) -> Explanation:
        """The whole, in `language`."""
        told = [
            Told(one.cause.code, one.cause.effect, one.server, one.say(language), one.values()) for one in self.findings
        ]
        trace = self.trace
        return Explanation(
            trace.agent, trace.campaign, trace.interface or None, self.verdict, self.conclude(language), told
        )
