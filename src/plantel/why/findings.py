"""What can be said about a phone that does not ring: every cause, in the order in which it decides."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum

import msgspec

from plantel.errors import PlantelError
from plantel.language import Language, Text, encodable


class Effect(StrEnum):
    """What a finding means for the phone."""

    STOPS = "stops"
    """It does not ring."""
    LIMITS = "limits"
    """It rings, but not always; or it is not as the roster has it."""
    TELLS = "tells"
    """Nothing by itself: the ground of the other findings."""


class Cause(Enum):
    """Every cause. Its code, the name in lower case, stays the same; the text may be reworded.

    Of one effect, the more decisive stands first. `docs/why.md` and `docs/porque.md` explain each; a test holds them to
    it.
    """

    # --- the roster ---
    UNKNOWN_AGENT = (
        Effect.STOPS,
        Text("{agent} is in no campaign, and never was", "{agent} no está en ninguna campaña, ni lo estuvo"),
    )
    NEVER_ADDED = (
        Effect.STOPS,
        Text("{agent} was never put into {campaign}", "{agent} nunca se agregó a {campaign}"),
    )
    REMOVED = (
        Effect.STOPS,
        Text(
            "{agent} is not in {campaign}: taken out {at} by {by} (batch {batch})",
            "{agent} no está en {campaign}: lo sacó {by}, {at} (lote {batch})",
        ),
    )
    REPLACED = (
        Effect.STOPS,
        Text(
            "{agent} is not in {campaign}: {by} put another agent on {interface}, {at} (batch {batch})",
            "{agent} no está en {campaign}: {by} puso a otro agente en {interface}, {at} (lote {batch})",
        ),
    )
    MOVED = (
        Effect.STOPS,
        Text(
            "{membername} left {interface} for {other} in {campaign}: moved {at} by {by} (batch {batch})",
            "{membername} dejó {interface} por {other} en {campaign}: lo movió {by}, {at} (lote {batch})",
        ),
    )
    # --- the servers ---
    NO_SERVER = (
        Effect.STOPS,
        Text(
            "no Asterisk is configured: nothing is delivered", "no hay ningún Asterisk configurado: no se entrega nada"
        ),
    )
    NOT_CARRIED = (
        Effect.STOPS,
        Text("no server carries {campaign}", "ningún servidor lleva {campaign}"),
    )
    SERVER_AWAY = (
        Effect.STOPS,
        Text("{server} cannot be asked: {reason}", "no se puede preguntar a {server}: {reason}"),
    )
    QUEUE_MISSING = (
        Effect.STOPS,
        Text("{server} has no queue {campaign}", "{server} no tiene la cola {campaign}"),
    )
    NOT_DELIVERED = (
        Effect.STOPS,
        Text(
            "{interface} is not in the queue at {server}, and is not put there: {reason}",
            "{interface} no está en la cola en {server}, y no se agrega: {reason}",
        ),
    )
    NOT_LIVE = (
        Effect.STOPS,
        Text(
            "{interface} is not in the queue at {server} yet: plantel sync, or the service, puts it there",
            "{interface} aún no está en la cola en {server}: plantel sync, o el servicio, lo agrega",
        ),
    )
    # --- the member ---
    PAUSED = (
        Effect.STOPS,
        Text(
            "paused at {server}; in the roster, too: since {at}, by {by}; reason: {reason}",
            "en pausa en {server}; también en el plantel: desde {at}, por {by}; motivo: {reason}",
        ),
    )
    PAUSED_AT_SERVER = (
        Effect.STOPS,
        Text(
            "paused at {server} since {at}, at the phone or by another program, not by the roster; reason: {reason}",
            "en pausa en {server} desde {at}, en el teléfono o por otro programa, no por el plantel; motivo: {reason}",
        ),
    )
    PAUSED_IN_ROSTER = (
        Effect.STOPS,
        Text(
            "the roster has it paused: since {at}, by {by}; reason: {reason}",
            "el plantel lo tiene en pausa: desde {at}, por {by}; motivo: {reason}",
        ),
    )
    PHONE_INVALID = (
        Effect.STOPS,
        Text("{server} knows no phone {interface}", "{server} no conoce ningún teléfono {interface}"),
    )
    PHONE_UNAVAILABLE = (
        Effect.STOPS,
        Text(
            "{interface} is not registered at {server}, or does not answer it",
            "{interface} no está registrado en {server}, o no le responde",
        ),
    )
    PHONE_IN_USE = (
        Effect.STOPS,
        Text(
            "{interface} is in use at {server} ({state}), and the queue rings nobody who is in a call (ringinuse = no)",
            "{interface} está en uso en {server} ({state}), y la cola no llama a quien está en una llamada"
            " (ringinuse = no)",
        ),
    )
    WRAPPING_UP = (
        Effect.STOPS,
        Text(
            "resting after the last call until {until} at {server} (wrap-up)",
            "descansa de la última llamada hasta {until} en {server} (wrap-up)",
        ),
    )
    CALLERS_TURNED_AWAY = (
        Effect.STOPS,
        Text(
            "{server} lets no caller into the queue: by joinempty = {rule} every member counts as absent",
            "{server} no deja entrar a nadie en la cola: con joinempty = {rule} todos los miembros cuentan como"
            " ausentes",
        ),
    )

    # --- what limits ---
    LOWER_PENALTY_FIRST = (
        Effect.LIMITS,
        Text(
            "at {server} its penalty is {penalty}; {count} free with a lower one ring first: {names}",
            "en {server} su penalty es {penalty}; suenan antes {count} libres con uno menor: {names}",
        ),
    )
    ONE_AT_A_TIME = (
        Effect.LIMITS,
        Text(
            "at {server} the queue rings one phone at a time ({strategy}), and {count} others are free: {names}",
            "en {server} la cola llama a un teléfono cada vez ({strategy}), y hay {count} libres más: {names}",
        ),
    )
    PHONE_MAYBE_IN_USE = (
        Effect.LIMITS,
        Text(
            "{interface} is in use at {server} ({state}): it rings only with ringinuse = yes, which the AMI user"
            " may not see",
            "{interface} está en uso en {server} ({state}): solo suena con ringinuse = yes, que el usuario de AMI no"
            " puede ver",
        ),
    )
    MAYBE_WRAPPING_UP = (
        Effect.LIMITS,
        Text(
            "the last call at {server} ended {at}: it may be resting (wrapuptime, which the AMI user may not see)",
            "la última llamada en {server} acabó {at}: puede estar descansando (wrapuptime, que el usuario de AMI no"
            " puede ver)",
        ),
    )
    OTHER_NAME = (
        Effect.LIMITS,
        Text(
            "at {server} the phone {interface} is in the queue as {membername} ({membership}), put there by somebody"
            " else: it rings as that one",
            "en {server} el teléfono {interface} está en la cola como {membername} ({membership}), puesto por otro:"
            " suena como ese",
        ),
    )
    STRAY = (
        Effect.LIMITS,
        Text(
            "at {server} {interface} is in the queue as {membername} ({membership}), although the roster has it not",
            "en {server} {interface} está en la cola como {membername} ({membership}), aunque el plantel no lo tiene",
        ),
    )
    LEAVING = (
        Effect.LIMITS,
        Text(
            "{interface} is still in the queue at {server}, as {membername}: the roster has it no longer",
            "{interface} sigue en la cola en {server}, como {membername}: el plantel ya no lo tiene",
        ),
    )
    RENAMING = (
        Effect.LIMITS,
        Text(
            "at {server} {interface} is still in the queue as {membername}",
            "en {server} {interface} sigue en la cola como {membername}",
        ),
    )
    PENALTY_DIFFERS = (
        Effect.LIMITS,
        Text(
            "at {server} the penalty is {live}, in the roster {wanted}",
            "en {server} el penalty es {live}, en el plantel {wanted}",
        ),
    )
    PAUSE_DIFFERS = (
        Effect.LIMITS,
        Text(
            "the roster has it paused (since {at}, by {by}), {server} not yet",
            "el plantel lo tiene en pausa (desde {at}, por {by}), {server} aún no",
        ),
    )

    # --- what tells ---
    NOBODY_WAITING = (
        Effect.TELLS,
        Text("no caller is waiting in the queue at {server}", "nadie espera en la cola en {server}"),
    )
    PHONE_RINGING = (
        Effect.TELLS,
        Text("{interface} is ringing at {server}", "{interface} está sonando en {server}"),
    )
    RINGS_IN_USE = (
        Effect.TELLS,
        Text(
            "{interface} is in use at {server} ({state}), and is rung all the same (ringinuse = yes)",
            "{interface} está en uso en {server} ({state}), y se le llama igualmente (ringinuse = yes)",
        ),
    )
    PHONE_FREE = (
        Effect.TELLS,
        Text("{interface} is free at {server}", "{interface} está libre en {server}"),
    )
    STATE_UNKNOWN = (
        Effect.TELLS,
        Text(
            "{server} does not know the state of {interface}; queues ring such a phone",
            "{server} no sabe el estado de {interface}; las colas llaman a un teléfono así",
        ),
    )
    IN_ROSTER = (
        Effect.TELLS,
        Text(
            "{membername} is in {campaign} since {at}, put there by {by}: phone {interface}, penalty {penalty}",
            "{membername} está en {campaign} desde {at}, agregado por {by}: teléfono {interface}, penalty {penalty}",
        ),
    )
    PHONE_TAKEN = (
        Effect.TELLS,
        Text("{interface} is now the phone of {holder}", "{interface} es ahora el teléfono de {holder}"),
    )
    SIMILAR_NAMES = (
        Effect.TELLS,
        Text("in {campaign} there is: {names}", "en {campaign} está: {names}"),
    )
    LIVE = (
        Effect.TELLS,
        Text("in the queue at {server} since {at}", "en la cola en {server} desde {at}"),
    )
    RULES_UNSEEN = (
        Effect.TELLS,
        Text(
            "{server} does not tell ringinuse, wrapuptime and joinempty: that takes write = agent,reporting",
            "{server} no dice ringinuse, wrapuptime ni joinempty: para eso hace falta write = agent,reporting",
        ),
    )
    STATE_UNSEEN = (
        Effect.TELLS,
        Text(
            "{server} does not tell the state of {interface}: that takes write = agent,reporting",
            "{server} no dice el estado de {interface}: para eso hace falta write = agent,reporting",
        ),
    )

    def __init__(self, effect: Effect, text: Text) -> None:
        self.effect = effect
        self.text = text

    @property
    def code(self) -> str:
        return self.name.lower()


_RANK = {cause: (list(Effect).index(cause.effect), place) for place, cause in enumerate(Cause)}


class Finding(msgspec.Struct, frozen=True):
    """A cause, and where it was found. `server`: None for one that holds everywhere.

    `params` fill the text's placeholders: texts, numbers, moments, names in a tuple, a PlantelError; None is "?".
    """

    cause: Cause
    server: str | None = None
    params: Mapping[str, object] = {}

    @property
    def rank(self) -> tuple[int, int]:
        """What decides more comes first."""
        return _RANK[self.cause]

    def say(self, language: Language) -> str:
        """The finding in `language`."""
        shown = {name: _words(value, language) for name, value in self.params.items()}
        return self.cause.text.say(language, server=self.server, **shown)

    def values(self) -> dict[str, object]:
        """`params` for JSON: an error is its code."""
        return {name: _value(one) for name, one in self.params.items()}


def _value(value: object) -> object:
    match value:
        case PlantelError():
            return value.code
        case str():
            return encodable(value)
        case tuple():
            return tuple(map(_value, value))
    return value


def _words(value: object, language: Language) -> object:
    match value:
        case None | "":
            return "?"
        case PlantelError():
            return value.say(language)
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return value
