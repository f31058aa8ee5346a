"""`plantel why`: why a phone does not ring."""

from plantel.cli.context import roster
from plantel.cli.options import AsJson, InstanceName
from plantel.cli.output import json, say, tell
from plantel.language import current, encodable
from plantel.why.findings import Effect
from plantel.why.inquiry import inquire
from plantel.wiring import operator

_MARKS = {Effect.STOPS: "x", Effect.LIMITS: "!", Effect.TELLS: "-"}


async def why(
    agent: str, campaign: str | None = None, /, *, as_json: AsJson = False, instance: InstanceName = ""
) -> None:
    async with roster(instance) as (_, where):
        reports = await inquire(
            where.service,
            where.delivery,
            operator(),
            encodable(agent),
            campaign and encodable(campaign),
        )
    answers = [report.explain(current()) for report in reports]
    if as_json:
        json(answers)
        return
    for answer in answers:
        say(f"{answer.agent}, {answer.campaign or tell('no campaign', 'ninguna campaña')}: {answer.conclusion}")
        for finding in answer.findings:
            say(f"  {_MARKS[finding.effect]} {finding.message} [{finding.code}]")
