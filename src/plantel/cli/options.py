"""Options that several commands share."""

from typing import Annotated

from cyclopts import Parameter

from plantel.cli.output import tell

InstanceName = Annotated[
    str,
    Parameter(
        show_default=False,
        help=tell("The instance (customer); the first by default.", "La instancia (cliente); por defecto la primera."),
    ),
]

Campaigns = Annotated[
    tuple[str, ...],
    Parameter(
        name="--campaign",
        negative=(),
        help=tell("Only these campaigns (* and ? stand for others).", "Solo estas campañas (* y ? como comodines)."),
    ),
]

AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help=tell("For scripts.", "Para scripts."))
]
