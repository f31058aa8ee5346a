"""Every way in which Plantel says no.

Each class below `PlantelError` with a `code` of its own is one kind of refusal: the code is stable (programs may
compare it), the text is for people. `docs/errors.md` and `docs/errores.md` explain each of them, and a test holds them
to it.

    PlantelError
    ├── InvalidItem             one item of a batch is wrong; carries `item` (from 1) and `key`
    │   ├── MissingKey, EmptyValue, NotText, NotAnInteger, NegativeValue, ValueTooLarge, NotAFlag
    │   ├── NameTooLong, ForbiddenCharacter, InterfaceNotAllowed
    │   ├── NotAnObject, Contradiction, PhoneUnknown, ReasonWithoutPause
    │   ├── UnknownCampaign, UnknownMember
    │   └── MoreProblems         stands for those beyond the first thousand
    ├── InvalidBatch            the batch as a whole is wrong
    │   ├── FieldMissing, NotJson, BodyCutShort, NotAnArray, EmptyBatch
    │   └── TooManyFields, TooManyItems, BadlyEncoded
    ├── BatchRefused            the batch was recorded as refused; carries its id and every problem
    ├── AccessRefused
    │   ├── NotAuthenticated, CampaignForbidden, ActionForbidden, ForeignOrigin
    │   └── TooManyAttempts: LoginsBusy
    ├── RequestRefused          outside the contract of a call
    │   └── BadRequest, NotFound, MethodNotAllowed, BodyTooLate, BodyTooLarge, QueryTooLong,
    │       TooManyCampaigns, NotAForm, UnknownInstance, HostUnclear
    ├── StoreError
    │   └── StoreUnavailable, StoreFull, ServerBusy, LeaseLost, StoreMissing, SchemaTooOld, SchemaTooNew,
    │       MigrationFailed, StoreNotEmpty
    ├── SwitchError             an Asterisk does not do what was asked
    │   ├── SwitchUnreachable, SwitchTimeout, SwitchLoginRefused, SwitchNotReady, SwitchBehind,
    │   │   SwitchTaken, SwitchProtocol, SwitchTooMuch, MemberDrifted, PhonesUnverified
    │   └── SwitchRefused: QueueMissing, MemberNotDynamic, MemberNotOurs, MemberUnread, QueueSpelled,
    │                      RereadRefused, DevicesUntold, MemberContested, PhoneShared,
    │                      PhoneNotUsable, PrivilegeMissing, ActionRefused
    ├── ConfigError
    │   └── ConfigUnreadable, UnknownSetting, InvalidSetting, Mistakes
    ├── AddressInUse            the server cannot listen
    ├── InternalError           a fault of Plantel's own; carries the id under which the log has it
    ├── NameTaken, NoSuchThing  registering or looking up a campaign, a user or a token
    ├── PasswordUnfit           too short or too long for a new password
    ├── NotShown                standard output takes nothing
    ├── HistoryForgotten        of what was before nothing certain is known any more
    └── ClientError             a server as plantel.client meets it
        ├── UrlNotUsable, UrlNotSafe, TokenNotUsable, CredentialsMissing, MembersInvalid   before anything is sent
        ├── FileUnreadable, FileTooLarge, FileNotRoster, ColumnMissing, ColumnRepeated, RowTooLong   the same
        ├── ServerRefused: CredentialsRefused, RightRefused, RequestTooLarge
        └── ServerUnavailable, ServerUntrusted, AnswerUnexpected, AnswerRedirected
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from plantel.language import Language, Text, encodable


class PlantelError(Exception):
    """Base of all.

    `params` fill the text's placeholders and are JSON-serialisable; `str()` gives the English wording. A text among
    them is cut to `longest` characters, since many came from outside, and kept as `encodable` has it.
    """

    code: ClassVar[str] = "error"
    text: ClassVar[Text] = Text("something went wrong", "algo ha fallado")
    longest: ClassVar[int] = 1000

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self.params: dict[str, Any] = {name: self._kept(value) for name, value in params.items()}

    def _kept(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return encodable(value if len(value) <= self.longest else value[: self.longest - 1] + "…")

    def say(self, language: Language = "en") -> str:
        """The message in `language`."""
        return self.text.say(language, **self.params)

    def __str__(self) -> str:
        return self.say()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.params)


def _rebuild(kind: type[PlantelError], params: dict[str, Any]) -> PlantelError:
    return kind(**params)


# --- one item of a batch ---------------------------------------------------------------------------------------------


class InvalidItem(PlantelError):
    """One item is wrong.

    `item` counts from 1 (None outside a batch); `key` is the wire key at fault ("" for the whole).
    """

    code = "invalid_item"
    text = Text("is not valid", "no es válido")
    longest = 200  # a batch may have a thousand

    def __init__(self, *, key: str = "", item: int | None = None, **params: Any) -> None:
        super().__init__(**params)
        self.key = key
        self.item = item

    def at(self, item: int) -> "InvalidItem":
        """The same problem, placed at item number `item` (from 1), to be kept: without what was there when it arose."""
        self.item = item
        self.__traceback__ = self.__context__ = None
        return self

    def say(self, language: Language = "en") -> str:
        message = super().say(language)
        if self.key:
            message = f"{self.key}: {message}"
        if self.item is not None:
            word = "elemento" if language == "es" else "item"
            message = f"{word} {self.item}: {message}"
        return message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"key": self.key, "item": self.item, **self.params})


class MissingKey(InvalidItem):
    code = "missing_key"
    text = Text("the key is missing", "falta la clave")


class EmptyValue(InvalidItem):
    code = "empty_value"
    text = Text("must not be empty", "no puede estar vacío")


class NotText(InvalidItem):
    code = "not_text"
    text = Text("must be a string", "debe ser una cadena de texto")


class NotAnInteger(InvalidItem):
    code = "not_an_integer"
    text = Text("must be an integer", "debe ser un número entero")


class NegativeValue(InvalidItem):
    code = "negative_value"
    text = Text("must be 0 or more", "debe ser 0 o más")


class ReasonWithoutPause(InvalidItem):
    code = "reason_without_pause"
    text = Text("a reason is given for a pause, not for its end", "el motivo se da para una pausa, no para terminarla")


class ValueTooLarge(InvalidItem):
    code = "value_too_large"
    text = Text("must be at most {most}", "debe ser como mucho {most}")


class NotAFlag(InvalidItem):
    code = "not_a_flag"
    text = Text("must be 0 or 1", "debe ser 0 o 1")


class NameTooLong(InvalidItem):
    code = "name_too_long"
    text = Text(
        "must be at most {most} bytes in UTF-8, this one has {size}",
        "debe tener como mucho {most} bytes en UTF-8, este tiene {size}",
    )


class ForbiddenCharacter(InvalidItem):
    """`character` is a printable description such as `U+000A` or `","`."""

    code = "forbidden_character"
    text = Text("must not contain {character}", "no puede contener {character}")


class InterfaceNotAllowed(InvalidItem):
    code = "interface_not_allowed"
    text = Text(
        "{interface} is not an interface that this server accepts, such as SIP/1004 or PJSIP/1004",
        "{interface} no es una interfaz que este servidor acepte, como SIP/1004 o PJSIP/1004",
    )


class NotAnObject(InvalidItem):
    code = "not_an_object"
    text = Text("must be a JSON object", "debe ser un objeto JSON")


class Contradiction(InvalidItem):
    code = "contradiction"
    text = Text("contradicts item {other}", "contradice al elemento {other}")


class PhoneUnknown(InvalidItem):
    """Only with `delivery.verify_interface`: refused with "require", a warning with "warn"."""

    code = "phone_unknown"
    text = Text("{servers}: there is no phone {interface}", "{servers}: no existe el teléfono {interface}")


class UnknownCampaign(InvalidItem):
    code = "unknown_campaign"
    text = Text("there is no campaign {campaign}", "no existe la campaña {campaign}")


class UnknownMember(InvalidItem):
    code = "unknown_member"
    text = Text("{member} is not in campaign {campaign}", "{member} no está en la campaña {campaign}")


class MoreProblems(InvalidItem):
    """The last of a batch's problems, if there are more than are told one by one: `count` more."""

    code = "more_problems"
    text = Text("problems that are not listed: {count}", "problemas que no se enumeran: {count}")


# --- a batch as a whole ----------------------------------------------------------------------------------------------


class InvalidBatch(PlantelError):
    code = "invalid_batch"
    text = Text("the batch is not valid", "el lote no es válido")


class FieldMissing(InvalidBatch):
    code = "field_missing"
    text = Text("the form field {field} is missing", "falta el campo {field} del formulario")


class NotJson(InvalidBatch):
    code = "not_json"
    text = Text("queuemember is not JSON: {detail}", "queuemember no es JSON: {detail}")


class BodyCutShort(InvalidBatch):
    code = "body_cut_short"
    text = Text(
        "queuemember ends in the middle of the JSON, at byte {size} of the body: is Content-Length right?",
        "queuemember termina en mitad del JSON, en el byte {size} del cuerpo: ¿es correcto Content-Length?",
    )


class NotAnArray(InvalidBatch):
    code = "not_an_array"
    text = Text("queuemember must be a JSON array of objects", "queuemember debe ser un array JSON de objetos")


class EmptyBatch(InvalidBatch):
    code = "empty_batch"
    text = Text("the list is empty: it names nobody", "la lista está vacía: no nombra a nadie")


class TooManyFields(InvalidBatch):
    code = "too_many_fields"
    text = Text(
        "the form has more than {most} fields: is & within a value encoded as %26?",
        "el formulario tiene más de {most} campos: ¿va & dentro de un valor como %26?",
    )


class TooManyItems(InvalidBatch):
    code = "too_many_items"
    text = Text("one batch may name at most {most} agents", "un lote puede nombrar como mucho {most} agentes")


class BadlyEncoded(InvalidBatch):
    code = "badly_encoded"
    text = Text(
        "more than {most} % begin no escape: is % within a value encoded as %25?",
        "más de {most} % no inician ningún escape: ¿va % dentro de un valor como %25?",
    )


class BatchRefused(PlantelError):
    """Nothing of the batch was stored.

    `batch` is its id; `problems` holds the reasons, at least one, in item order; of very many the last is MoreProblems.
    """

    code = "batch_refused"
    text = Text("the batch was refused: {reason}", "el lote fue rechazado: {reason}")

    def __init__(self, batch: str, problems: "list[PlantelError]") -> None:
        super().__init__(batch=batch)
        self.batch = batch
        self.problems = problems

    def say(self, language: Language = "en") -> str:
        return self.text.say(language, reason=self.problems[0].say(language))

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchRefused, (self.batch, self.problems)


# --- access ----------------------------------------------------------------------------------------------------------


class AccessRefused(PlantelError):
    code = "access_refused"
    text = Text("access refused", "acceso denegado")


class NotAuthenticated(AccessRefused):
    code = "not_authenticated"
    text = Text("no token, or a wrong or expired one", "falta el token, o es incorrecto o ha caducado")


class CampaignForbidden(AccessRefused):
    code = "campaign_forbidden"
    text = Text("this token has no right to campaign {campaign}", "este token no tiene derecho a la campaña {campaign}")


class ActionForbidden(AccessRefused):
    code = "action_forbidden"
    text = Text("the role {role} may not do this", "el rol {role} no puede hacer esto")


class TooManyAttempts(AccessRefused):
    """`seconds`: whole seconds to wait before the next try."""

    code = "too_many_attempts"
    text = Text(
        "too many wrong credentials: wait {seconds} s", "demasiadas credenciales incorrectas: espere {seconds} s"
    )


class ForeignOrigin(AccessRefused):
    code = "foreign_origin"
    text = Text(
        "a web page of {origin} may not call this server; http.cors_origins names those that may",
        "una página web de {origin} no puede llamar a este servidor; http.cors_origins nombra las que pueden",
    )


class LoginsBusy(TooManyAttempts):
    """`seconds`: as in TooManyAttempts. This one may have been right: nobody has looked."""

    code = "logins_busy"
    text = Text(
        "too many log-ins at the same time: try again in {seconds} s",
        "demasiados inicios de sesión a la vez: reintente en {seconds} s",
    )


# --- requests outside the contract of a call -------------------------------------------------------------------------


class RequestRefused(PlantelError):
    code = "request_refused"
    text = Text("the request cannot be served", "la petición no se puede atender")


class BadRequest(RequestRefused):
    code = "bad_request"
    text = Text("{detail}", "la petición no es válida: {detail}")


class NotFound(RequestRefused):
    code = "not_found"
    text = Text("there is nothing at this path", "no hay nada en esta ruta")


class MethodNotAllowed(RequestRefused):
    code = "method_not_allowed"
    text = Text("use {allowed}", "use {allowed}")


class BodyTooLate(RequestRefused):
    code = "body_too_late"
    text = Text(
        "the body did not arrive within {seconds} s ({received} bytes did): is Content-Length right?",
        "el cuerpo no llegó en {seconds} s (llegaron {received} bytes): ¿es correcto Content-Length?",
    )


class BodyTooLarge(RequestRefused):
    code = "body_too_large"
    text = Text("the body may have at most {most} bytes", "el cuerpo puede tener como mucho {most} bytes")


class QueryTooLong(RequestRefused):
    code = "query_too_long"
    text = Text(
        "the query string may have at most {most} bytes", "la cadena de consulta puede tener como mucho {most} bytes"
    )


class TooManyCampaigns(RequestRefused):
    code = "too_many_campaigns"
    text = Text(
        "{agent} is in {count} campaigns: ask about one of them", "{agent} está en {count} campañas: pregunte por una"
    )


class NotAForm(RequestRefused):
    code = "not_a_form"
    text = Text(
        "Content-Type must be application/x-www-form-urlencoded",
        "Content-Type debe ser application/x-www-form-urlencoded",
    )


class UnknownInstance(RequestRefused):
    code = "unknown_instance"
    text = Text("no instance is served under the host {host}", "ninguna instancia se sirve con el host {host}")


class HostUnclear(RequestRefused):
    code = "host_unclear"
    text = Text(
        "the request has to name one host: one Host header, the same as in the request line",
        "la petición debe nombrar un solo host: una cabecera Host, la misma que en la línea de petición",
    )


# --- the store -------------------------------------------------------------------------------------------------------


class StoreError(PlantelError):
    code = "store_error"
    text = Text("the store failed: {detail}", "el almacén falló: {detail}")


class StoreUnavailable(StoreError):
    code = "store_unavailable"
    text = Text("the store is unavailable: {detail}", "el almacén no está disponible: {detail}")


class StoreFull(StoreError):
    code = "store_full"
    text = Text("the disk of the store is full: {detail}", "el disco del almacén está lleno: {detail}")


class ServerBusy(StoreError):
    code = "server_busy"
    text = Text("too much work is waiting, try again", "hay demasiado trabajo en espera, reintente")


class LeaseLost(StoreError):
    """This process stopped, or was cut off, for so long that another may have taken over what it was at.

    Or the database has ended the session that had the lease.
    """

    code = "lease_lost"
    text = Text(
        "the lease on {name} was lost: another node may be at it by now",
        "se perdió la concesión de {name}: puede que otro nodo ya se ocupe de ello",
    )


class StoreMissing(StoreError):
    """The database answers and is empty, or its file could be made; whoever asked makes nothing."""

    code = "store_missing"
    text = Text(
        "there is no store of Plantel yet: plantel serve makes it",
        "todavía no hay un almacén de Plantel: plantel serve lo crea",
    )


class SchemaTooOld(StoreError):
    code = "schema_too_old"
    text = Text(
        "the store has schema {found}, this version needs {needed}: run plantel serve once to migrate it",
        "el almacén tiene el esquema {found}, esta versión necesita {needed}: ejecute plantel serve para migrarlo",
    )


class SchemaTooNew(StoreError):
    code = "schema_too_new"
    text = Text(
        "the store was written by a newer Plantel (schema {found}): install that version",
        "el almacén lo escribió un Plantel más nuevo (esquema {found}): instale esa versión",
    )


class MigrationFailed(StoreError):
    """`detail` is the database's word. On MariaDB, which commits each step, those before it stay done."""

    code = "migration_failed"
    text = Text(
        "the store could not be migrated from schema {found} to {needed}: {detail}: put that right and start again, or"
        " go back to the backup",
        "no se pudo migrar el almacén del esquema {found} al {needed}: {detail}: corríjalo y arranque otra vez, o"
        " vuelva a la copia de seguridad",
    )


class StoreNotEmpty(StoreError):
    """`store` is its URL, without a password."""

    code = "store_not_empty"
    text = Text(
        "{store} holds something already: a roster is copied into an empty database only",
        "{store} ya contiene algo: un plantel solo se copia a una base vacía",
    )


# --- Asterisk --------------------------------------------------------------------------------------------------------


class SwitchError(PlantelError):
    """All of these carry `server`, the configured name of the Asterisk."""

    code = "switch_error"
    text = Text("{server}: {detail}", "{server}: {detail}")


class SwitchUnreachable(SwitchError):
    code = "switch_unreachable"
    text = Text("{server}: no AMI connection: {detail}", "{server}: sin conexión AMI: {detail}")


class SwitchTimeout(SwitchError):
    code = "switch_timeout"
    text = Text("{server}: no answer within {seconds} s", "{server}: sin respuesta en {seconds} s")


class SwitchLoginRefused(SwitchError):
    code = "switch_login_refused"
    text = Text(
        "{server}: AMI refuses the user {username}: {detail}", "{server}: AMI rechaza al usuario {username}: {detail}"
    )


class SwitchNotReady(SwitchError):
    code = "switch_not_ready"
    text = Text("{server}: Asterisk has not finished starting", "{server}: Asterisk no ha terminado de arrancar")


class SwitchBehind(SwitchError):
    code = "switch_behind"
    text = Text("{server}: the change is on its way", "{server}: el cambio está en camino")


class MemberDrifted(SwitchError):
    """`kind`: a `plan.DriftKind`, as it is written."""

    code = "member_drifted"
    text = Text(
        "{server}: in {queue}, {interface} is not as the roster has it any more ({kind}); it was left so",
        "{server}: en {queue}, {interface} ya no está como dice el plantel ({kind}); se dejó así",
    )
    _SPANISH: ClassVar[Mapping[str, str]] = {"removed": "quitado", "paused": "pausa", "duplicated": "duplicado"}

    def say(self, language: Language = "en") -> str:
        kind = self.params["kind"]
        if language == "es":
            kind = self._SPANISH.get(kind, kind)
        return self.text.say(language, **{**self.params, "kind": kind})


class PhonesUnverified(SwitchError):
    """Only with `delivery.verify_interface`, and only a warning: what was stored may name a phone that does not exist.

    `reasons`: why each server, at least one, did not tell.
    """

    code = "phones_unverified"
    text = Text("phones were not verified: {reasons}", "no se verificaron los teléfonos: {reasons}")

    def __init__(self, reasons: "list[SwitchError]") -> None:
        super().__init__(server=", ".join(str(one.params["server"]) for one in reasons))
        self.reasons = reasons

    def say(self, language: Language = "en") -> str:
        return self.text.say(language, reasons="; ".join(one.say(language) for one in self.reasons))

    def __reduce__(self) -> tuple[Any, ...]:
        return PhonesUnverified, (self.reasons,)


class SwitchTaken(SwitchError):
    code = "switch_taken"
    text = Text(
        "{server}: another process of this roster has been at work there for {seconds} s",
        "{server}: otro proceso de este plantel lleva {seconds} s trabajando ahí",
    )


class SwitchProtocol(SwitchError):
    code = "switch_protocol"
    text = Text("{server}: this does not look like AMI: {detail}", "{server}: esto no parece AMI: {detail}")


class SwitchTooMuch(SwitchError):
    """The server sends more than any Asterisk has (`ami.limits`). `what`: a key of `_EXCESSES`; `most`: the limit."""

    code = "switch_too_much"
    text = Text("{server}: more than {most} {what}", "{server}: más de {most} {what}")
    _EXCESSES: ClassVar[Mapping[str, Text]] = {
        "message_bytes": Text("bytes in one message", "bytes en un mensaje"),
        "lines": Text("lines in one message", "líneas en un mensaje"),
        "item_bytes": Text("bytes in one queue or member", "bytes en una cola o un miembro"),
        "look_bytes": Text("bytes in one look", "bytes en una consulta"),
        "queues": Text("queues", "colas"),
        "members": Text("members", "miembros"),
        "campaigns": Text(
            "campaigns; queues that are found do not become campaigns any more",
            "campañas; las colas que se encuentran ya no se vuelven campañas",
        ),
    }

    def say(self, language: Language = "en") -> str:
        what = self._EXCESSES.get(self.params["what"])
        return self.text.say(language, **{**self.params, **({"what": what.say(language)} if what else {})})


class SwitchRefused(SwitchError):
    """Asterisk answered an action with an error. `detail` is its own message."""

    code = "switch_refused"


class QueueMissing(SwitchRefused):
    code = "queue_missing"
    text = Text("{server}: there is no queue {queue}", "{server}: no existe la cola {queue}")


class MemberNotDynamic(SwitchRefused):
    code = "member_not_dynamic"
    text = Text(
        "{server}: {interface} in {queue} is declared in Asterisk's own configuration and cannot be changed from here",
        "{server}: {interface} en {queue} está en la configuración de Asterisk y no se puede cambiar desde aquí",
    )


class MemberNotOurs(SwitchRefused):
    code = "member_not_ours"
    text = Text(
        "{server}: {interface} stands in {queue} under another name, and Plantel did not put it there",
        "{server}: {interface} está en {queue} con otro nombre y no fue Plantel quien lo puso",
    )


class MemberUnread(SwitchRefused):
    """Only with `delivery = "realtime"`."""

    code = "member_unread"
    text = Text(
        "{server}: {interface} is in the view for {queue}, and Asterisk does not show it: does queue_members in its"
        " extconfig.conf lead to the view, and can it read there?",
        "{server}: {interface} está en la vista para {queue} y Asterisk no lo muestra: ¿lleva queue_members de su"
        " extconfig.conf a la vista, y puede leer allí?",
    )


class QueueSpelled(SwitchRefused):
    """Only with `delivery = "realtime"`: databases compare with case."""

    code = "queue_spelled"
    text = Text(
        "{server}: Asterisk asks for the members of {queue} under a name in other upper and lower case: give the queue"
        " and the campaign the same",
        "{server}: Asterisk pide los miembros de {queue} con otras mayúsculas y minúsculas: dé el mismo nombre a la"
        " cola y a la campaña",
    )


class RereadRefused(SwitchRefused):
    """Only with `delivery = "realtime"`: a look has to make Asterisk read its queues anew."""

    code = "reread_refused"
    text = Text(
        "{server}: the AMI user {username} may not have queues read anew: realtime needs write = agent,reporting",
        "{server}: el usuario de AMI {username} no puede hacer releer colas: realtime necesita write = agent,reporting",
    )


class DevicesUntold(SwitchRefused):
    """Where it is not the right that is missing, which `plantel check` says, it is the module."""

    code = "devices_untold"
    text = Text(
        "{server}: Asterisk does not tell the state of phones: the AMI user needs write = agent,reporting, and Asterisk"
        " the module func_devstate",
        "{server}: Asterisk no dice el estado de los teléfonos: el usuario de AMI necesita write = agent,reporting, y"
        " Asterisk el módulo func_devstate",
    )


class MemberContested(SwitchRefused):
    code = "member_contested"
    text = Text(
        "{server}: somebody else keeps changing the penalty of {interface} in {queue}",
        "{server}: alguien más cambia una y otra vez el penalty de {interface} en {queue}",
    )


class PhoneShared(SwitchRefused):
    """`interface` is as the roster has it, and after an arrow as the server calls it."""

    code = "phone_shared"
    text = Text(
        "{server}: {interface} in {queue} is another member's phone there, since map leads both to it",
        "{server}: {interface} en {queue} es allí el teléfono de otro miembro, pues map lleva a los dos a él",
    )


class PhoneNotUsable(SwitchRefused):
    code = "phone_not_usable"
    text = Text(
        "{server}: what map or state make of {interface} in {queue} is longer than Asterisk can hold",
        "{server}: lo que map o state hacen de {interface} en {queue} es más largo de lo que cabe en Asterisk",
    )


class PrivilegeMissing(SwitchRefused):
    code = "privilege_missing"
    text = Text(
        "{server}: the AMI user lacks a privilege for {action}: it needs read = agent,system and write = agent",
        "{server}: al usuario de AMI le falta permiso para {action}: necesita read = agent,system y write = agent",
    )


class ActionRefused(SwitchRefused):
    code = "action_refused"
    text = Text("{server}: {action} refused: {detail}", "{server}: {action} rechazado: {detail}")


# --- configuration and registers -------------------------------------------------------------------------------------


class ConfigError(PlantelError):
    code = "config_error"
    text = Text("the configuration is wrong: {detail}", "la configuración está mal: {detail}")


class ConfigUnreadable(ConfigError):
    code = "config_unreadable"
    text = Text("{path} cannot be read: {detail}", "{path} no se puede leer: {detail}")


class UnknownSetting(ConfigError):
    """`nearest` is the known setting whose name is closest."""

    code = "unknown_setting"
    text = Text(
        "{setting} is not a setting; the nearest is {nearest}", "{setting} no existe; la más parecida es {nearest}"
    )


class InvalidSetting(ConfigError):
    """`detail` says what the setting must be; a Text is said in the language asked for."""

    code = "invalid_setting"
    text = Text("{setting}: {detail}", "{setting}: {detail}")

    def say(self, language: Language = "en") -> str:
        detail = self.params["detail"]
        if isinstance(detail, Text):
            detail = detail.es if language == "es" else detail.en
        return self.text.say(language, setting=self.params["setting"], detail=detail)


class Mistakes(ConfigError):
    """Everything that is wrong with the configuration: at least one of the above in `mistakes`."""

    code = "mistakes"
    text = Text("the configuration has mistakes: {mistakes}", "la configuración tiene errores: {mistakes}")

    def __init__(self, mistakes: list[ConfigError]) -> None:
        super().__init__()
        self.mistakes = mistakes

    def say(self, language: Language = "en") -> str:
        return self.text.say(language, mistakes="; ".join(mistake.say(language) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[Any, ...]:
        return Mistakes, (self.mistakes,)


class InternalError(PlantelError):
    code = "internal_error"
    text = Text(
        "something failed here: the log has it under {id}", "algo ha fallado aquí: está en el registro como {id}"
    )


class AddressInUse(PlantelError):
    code = "address_in_use"
    text = Text("cannot listen on {address}: {detail}", "no se puede escuchar en {address}: {detail}")


class NameTaken(PlantelError):
    code = "name_taken"
    text = Text("{name} exists already", "{name} ya existe")


class PasswordUnfit(PlantelError):
    """`least` characters, `most` bytes."""

    code = "password_unfit"
    text = Text(
        "a password must have at least {least} characters, and at most {most} bytes of UTF-8",
        "una contraseña debe tener al menos {least} caracteres, y como máximo {most} bytes de UTF-8",
    )


class NotShown(PlantelError):
    """The token that could not be shown is gone again: nobody could ever use it."""

    code = "not_shown"
    text = Text(
        "the token could not be shown, and was removed again: {detail}",
        "el token no se pudo mostrar, y se quitó de nuevo: {detail}",
    )


class HistoryForgotten(PlantelError):
    """`since`: the first moment about which everything is known, in ISO 8601."""

    code = "history_forgotten"
    text = Text(
        "the history before {since} is no longer kept ([journal] keep)",
        "el historial anterior a {since} ya no se guarda ([journal] keep)",
    )


class NoSuchThing(PlantelError):
    code = "no_such_thing"
    text = Text("there is no {name}", "no existe {name}")


# --- a server as its client meets it ---------------------------------------------------------------------------------


class ClientError(PlantelError):
    """`add` sends a roster in batches: its first `stored` members were stored before this error, those up to `tried`
    were in the batch that failed, the rest was never sent. Both are 0 where nothing was sent."""

    code = "client_error"
    text = Text("the server could not be used", "no se pudo usar el servidor")

    stored: int = 0
    tried: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.params), {"stored": self.stored, "tried": self.tried}


class UrlNotUsable(ClientError):
    code = "url_not_usable"
    text = Text(
        "the URL must be https://host[:port], without user, query or fragment",
        "la URL debe ser https://servidor[:puerto], sin usuario, consulta ni fragmento",
    )


class UrlNotSafe(ClientError):
    code = "url_not_safe"
    text = Text(
        "http:// to {host} would send the credentials in the clear: use https://, or allow it explicitly",
        "http:// hacia {host} enviaría las credenciales en claro: use https://, o permítalo explícitamente",
    )


class TokenNotUsable(ClientError):
    code = "token_not_usable"
    text = Text(
        "the token must be one word of printable ASCII: base64 of user:secret",
        "el token debe ser una palabra de ASCII imprimible: base64 de usuario:secreto",
    )


class CredentialsMissing(ClientError):
    code = "credentials_missing"
    text = Text(
        "give a token (--token or PLANTEL_TOKEN), or --user with its password in PLANTEL_PASSWORD or at the prompt",
        "indique un token (--token o PLANTEL_TOKEN), o --user con su contraseña en PLANTEL_PASSWORD o al pedirla",
    )


class MembersInvalid(ClientError):
    """Nothing was sent. `problems` holds every reason, at least one, in item order."""

    code = "members_invalid"
    text = Text(
        "nothing was sent; problems: {count}; the first: {reason}",
        "no se envió nada; problemas: {count}; el primero: {reason}",
    )

    def __init__(self, problems: list[InvalidItem]) -> None:
        super().__init__()
        self.problems = problems

    def say(self, language: Language = "en") -> str:
        return self.text.say(language, count=len(self.problems), reason=self.problems[0].say(language))

    def __reduce__(self) -> tuple[Any, ...]:
        return MembersInvalid, (self.problems,)


class FileUnreadable(ClientError):
    code = "file_unreadable"
    text = Text("{file} cannot be read: {detail}", "{file} no se puede leer: {detail}")


class FileTooLarge(ClientError):
    code = "file_too_large"
    text = Text("{file} has more than {most} bytes", "{file} tiene más de {most} bytes")


class FileNotRoster(ClientError):
    code = "file_not_roster"
    text = Text("this is neither CSV nor JSON: {detail}", "esto no es CSV ni JSON: {detail}")


class ColumnMissing(ClientError):
    code = "column_missing"
    text = Text(
        "the first line must name every column; missing: {missing}",
        "la primera línea debe nombrar todas las columnas; faltan: {missing}",
    )


class ColumnRepeated(ClientError):
    code = "column_repeated"
    text = Text("two columns both mean {key}", "dos columnas significan {key}")


class RowTooLong(ClientError):
    code = "row_too_long"
    text = Text(
        "line {line} has {found} cells under {expected} columns: does a value need quotes?",
        "la línea {line} tiene {found} celdas para {expected} columnas: ¿faltan comillas en algún valor?",
    )


class ServerRefused(ClientError):
    """The server answered `0`. What Plantel says about it is here; the original product says nothing more.

    `reason` is its one-line reason, `reason_code` the stable code, `batch` the id that leads to every reason (all ""
    where not given), `item` (from 1, counted over the whole roster) the member at fault, if one is named.
    """

    code = "server_refused"
    text = Text("the server answered 0", "el servidor respondió 0")

    def __init__(self, *, reason: str = "", reason_code: str = "", batch: str = "", item: int | None = None) -> None:
        super().__init__(reason=reason, reason_code=reason_code, batch=batch, item=item)

    @property
    def reason(self) -> str:
        return str(self.params["reason"])

    @property
    def reason_code(self) -> str:
        return str(self.params["reason_code"])

    @property
    def batch(self) -> str:
        return str(self.params["batch"])

    @property
    def item(self) -> int | None:
        item: int | None = self.params["item"]
        return item

    def say(self, language: Language = "en") -> str:
        message = super().say(language)
        if self.item is not None:
            message += f": {'elemento' if language == 'es' else 'item'} {self.item}"
        return f"{message}: {self.reason}" if self.reason else message


class CredentialsRefused(ServerRefused):
    code = "credentials_refused"
    text = Text("the server does not accept these credentials", "el servidor no acepta estas credenciales")


class RightRefused(ServerRefused):
    code = "right_refused"
    text = Text("these credentials do not allow this", "estas credenciales no permiten esto")


class RequestTooLarge(ServerRefused):
    code = "request_too_large"
    text = Text("too large for the server: use smaller batches", "demasiado para el servidor: use lotes menores")


class ServerUnavailable(ClientError):
    """Whether the batch in flight was stored is unknown; sending it again is safe. `tries`: how often it was sent.

    `retry_after`: the seconds that the server asked to wait, None where it did not.
    """

    code = "server_unavailable"
    text = Text(
        "the server is unavailable (tries: {tries}): {detail}", "el servidor no responde (intentos: {tries}): {detail}"
    )


class ServerUntrusted(ClientError):
    code = "server_untrusted"
    text = Text(
        "the server's certificate is not trusted: {detail}", "el certificado del servidor no es de confianza: {detail}"
    )


class AnswerUnexpected(ClientError):
    code = "answer_unexpected"
    text = Text(
        "this is not an answer of the call (status {status}): {detail}; is the URL right?",
        "esta no es una respuesta de la llamada (estado {status}): {detail}; ¿es correcta la URL?",
    )


class AnswerRedirected(ClientError):
    code = "answer_redirected"
    text = Text(
        "the server redirects to {location}; credentials are not sent there: use that address if it is yours",
        "el servidor redirige a {location}; no se envían credenciales allí: use esa dirección si es la suya",
    )


@cache
def every_error() -> Mapping[str, type[PlantelError]]:
    """Each stable code with its class. Two classes with one code are a mistake that a test finds."""

    def below(kind: type[PlantelError]) -> list[type[PlantelError]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in below(sub))]

    return {kind.code: kind for kind in below(PlantelError)}
