"""The settings: what they mean, where they come from, and that every mistake is named in both languages."""

from pathlib import Path

import msgspec
import pytest

from plantel import config, errors
from plantel.config import Duration, HttpSettings, Settings, Size, Unfit, check_certificate, load
from tests.support.tls import Certificate

SECRET = "hunter2-and-more"
PBX = f'[[asterisk]]\nname = "pbx1"\nsecret = "{SECRET}"\n'


@pytest.fixture(autouse=True)
def _no_installed_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATHS", (tmp_path / "first.toml", tmp_path / "second.toml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "given.toml"


def read(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def mistakes(file: Path, text: str, **environ: str) -> list[str]:
    """What `load` says, in English."""
    with pytest.raises(errors.Mistakes) as refusal:
        read(file, text, **environ)
    return [mistake.say("en") for mistake in refusal.value.mistakes]


# --- where settings come from ----------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold() -> None:
    settings = load(None, {})
    assert settings == Settings()
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert settings.store.url == "sqlite:///plantel.db"
    assert settings.delivery.confirm == "stored"


def test_the_first_default_file_that_exists_is_read(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text('[log]\nlevel = "error"\n')
    assert load(None, {}).log.level == "error"
    (tmp_path / "first.toml").write_text('[log]\nlevel = "debug"\n')
    assert load(None, {}).log.level == "debug"


def test_plantel_config_names_the_file_and_an_argument_counts_for_more(tmp_path: Path, file: Path) -> None:
    named = tmp_path / "named.toml"
    named.write_text('[log]\nlevel = "warning"\n')
    assert load(None, {"PLANTEL_CONFIG": str(named)}).log.level == "warning"
    assert read(file, '[log]\nlevel = "error"\n', PLANTEL_CONFIG=str(named)).log.level == "error"


def test_the_environment_counts_for_more_than_the_file(file: Path) -> None:
    settings = read(
        file,
        '[http]\nbind = "127.0.0.1:1111"\nbody_limit = "1MiB"\n' + PBX,
        PLANTEL_HTTP_BIND="[::1]:2222",
        PLANTEL_HTTP_CORS_ORIGINS="https://a.example, https://b.example",
        PLANTEL_STORE_URL="sqlite:////var/lib/plantel.db",
        PLANTEL_DELIVERY_DEADLINE="750ms",
        PLANTEL_ASTERISK_PBX1_PORT="5039",
        PLANTEL_ASTERISK_PBX1_TLS="true",
    )
    assert (settings.http.host, settings.http.port) == ("::1", 2222)
    assert settings.http.body_limit == 2**20
    assert settings.http.cors_origins == ("https://a.example", "https://b.example")
    assert settings.store.url == "sqlite:////var/lib/plantel.db"
    assert settings.delivery.deadline == 0.75
    assert (settings.asterisk[0].port, settings.asterisk[0].tls) == (5039, True)


def test_the_history_is_kept_for_ever_unless_it_is_said_for_how_long(file: Path) -> None:
    assert read(file, "[journal]\n").journal.keep is None
    assert read(file, '[journal]\nkeep = "90d"\n').journal.keep == 90 * 86400.0
    assert read(file, "", PLANTEL_JOURNAL_KEEP="5y").journal.keep == 5 * 365 * 86400.0
    (said,) = mistakes(file, '[journal]\nkeep = "for ever"\n')
    assert said.startswith("journal.keep: must be a duration")


def test_environment_names_reach_the_server_that_they_name(file: Path) -> None:
    text = "".join(f'[[asterisk]]\nname = "{name}"\nsecret = "x"\n' for name in ("pbx", "pbx-2", "pbx_tls"))
    settings = read(
        file, text, PLANTEL_ASTERISK_PBX_HOST="one", PLANTEL_ASTERISK_PBX_2_HOST="two", PLANTEL_ASTERISK_PBX_TLS="1"
    )
    assert [one.host for one in settings.asterisk] == ["one", "two", "127.0.0.1"]
    assert [one.tls for one in settings.asterisk] == [True, False, False]


def test_what_a_server_calls_the_phones_comes_from_its_tables_or_the_environment(file: Path) -> None:
    text = (
        PBX
        + """
        [asterisk.map]
        "SIP/" = "PJSIP/"
        [asterisk.state]
        "Local/{phone}@agents/n" = "PJSIP/{phone}"
        """
    )
    (server,) = read(file, text).asterisk
    assert server.phones.interface("SIP/1001") == "PJSIP/1001"
    assert server.phones.state("Local/1@agents/n") == "PJSIP/1"
    (server,) = read(file, text, PLANTEL_ASTERISK_PBX1_MAP="SIP/=IAX2/, IAX2/=SIP/").asterisk
    assert server.map == {"SIP/": "IAX2/", "IAX2/": "SIP/"}
    assert mistakes(file, PBX, PLANTEL_ASTERISK_PBX1_MAP="SIP/") == [
        'asterisk[1].map: must be beginnings of interfaces, such as { "SIP/" = "PJSIP/" }'
    ]
    assert mistakes(file, PBX + 'map = "SIP/"') == ['asterisk[1].map: must be a table of texts: { "..." = "..." }']
    assert mistakes(file, PBX + 'state = { "Local/1" = "SIP/1" }') == [
        'asterisk[1].state: must be interfaces with {phone}, such as { "Local/{phone}@agents/n" = "PJSIP/{phone}" }'
    ]


def test_an_instance_of_the_file_has_environment_names_too(file: Path) -> None:
    settings = read(file, '[[instance]]\nname = "acme"\n', PLANTEL_INSTANCE_ACME_HOSTS="acme.example.com")
    assert settings.instance[0].hosts == ("acme.example.com",)


def test_names_that_are_no_settings_are_left_alone() -> None:
    others = {"PLANTEL_LANG": "es", "PLANTEL_TOKEN": "t", "PLANTEL_PASSWORD": "p", "HOME": "/", "PLANTELERO": "x"}
    assert load(None, others) == Settings()


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_an_unknown_key_names_the_nearest(file: Path) -> None:
    assert mistakes(file, '[http]\nbnid = "127.0.0.1:1"\n') == [
        "http.bnid is not a setting; the nearest is http.bind",
    ]
    assert mistakes(file, "[sotre]\n") == ["sotre is not a setting; the nearest is store"]
    assert mistakes(file, PBX + 'pasword = "x"\n')[0].startswith("asterisk[1].pasword is not a setting")
    assert mistakes(file, "", PLANTEL_HTTP_BNID="x") == [
        "PLANTEL_HTTP_BNID is not a setting; the nearest is PLANTEL_HTTP_BIND"
    ]
    assert mistakes(file, PBX, PLANTEL_ASTERISK_PBX1_SECRTE="x") == [
        "PLANTEL_ASTERISK_PBX1_SECRTE is not a setting; the nearest is PLANTEL_ASTERISK_PBX1_SECRET"
    ]


def test_all_mistakes_are_named_at_once_in_both_languages(file: Path) -> None:
    file.write_text(
        """
        [http]
        bind = 8080
        body_limit = "much"
        [delivery]
        confirm = "maybe"
        deadline = "soon"
        [log]
        levle = "info"
        [[asterisk]]
        port = 70000
        tls = "yes"
        """
    )
    with pytest.raises(errors.Mistakes) as refusal:
        load(file, {"PLANTEL_STOER_URL": "x"})
    assert {one.params["setting"] for one in refusal.value.mistakes} == {
        "PLANTEL_STOER_URL",
        "http.bind",
        "http.body_limit",
        "delivery.confirm",
        "delivery.deadline",
        "log.levle",
        "asterisk[1].port",
        "asterisk[1].tls",
        "asterisk[1].name",
    }
    spanish = refusal.value.say("es")
    assert 'http.bind: debe ser texto entre comillas: "..."' in spanish
    assert 'delivery.confirm: debe ser uno de "stored", "live"' in spanish
    assert "asterisk[1].port: debe ser un entero de 1 a 65535" in spanish
    assert "asterisk[1].tls: debe ser true o false" in spanish
    assert "asterisk[1].name: falta" in spanish
    assert "must" not in spanish


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[http]\nbind = "8080"\n', "http.bind: must be address:port"),
        ('[http]\nbind = "127.0.0.1:0"\n', "http.bind: must be address:port"),
        ('[http]\nbind = "127.0.0.1:65536"\n', "http.bind: must be address:port"),
        ('[http]\nbind = "::1:80"\n', "http.bind: must be address:port"),
        ('[http]\ntls_cert = "cert.pem"\n', "http: tls_cert and tls_key go together"),
        ('[http]\ntrusted_proxies = ["proxy"]\n', "http.trusted_proxies: must be addresses or networks"),
        ('[http]\ncors_origins = "*"\n', "http.cors_origins: must be a list of texts"),
        ('[roster]\ninterfaces = ["SIP/("]\n', "roster.interfaces: is not a regular expression"),
        ('[roster]\ninterfaces = ["a)|(b"]\n', "roster.interfaces: is not a regular expression"),
        ('[roster]\ntrunks = ["PJSIP/600@mytrunk"]\n', "roster.trunks: must be names of trunks, such as"),
        ("http = 3\n", "http: is a table: write [http]"),
        ("asterisk = 3\n", "asterisk: is a list of tables: write [[asterisk]]"),
        ("asterisk = [3]\n", "asterisk[1]: is a table"),
        ('[asterisk]\nname = "pbx1"\n', "asterisk: is a list of tables: write [[asterisk]]"),
        ("instance = []\n", "instance: must have at least one"),
        ('[[instance]]\nname = "a b"\n', "instance[1].name: must be 1 to 40 of A-Z a-z 0-9 _ . -"),
        (
            '[[instance]]\nname = "a"\n[[instance]]\nname = "a"\nhosts = ["h"]\n',
            "instance: two instances have the same",
        ),
        ('[[instance]]\nname = "a"\n[[instance]]\nname = "b"\n', "instance: only one instance may be without hosts"),
        (
            '[[instance]]\nname = "a"\nhosts = ["H"]\n[[instance]]\nname = "b"\nhosts = ["h"]\n',
            "instance: two instances have the same host",
        ),
        (PBX + PBX, "asterisk: two servers of one instance have the same name"),
        (PBX + 'instance = "acme"\n', "asterisk[1].instance: there is no [[instance]] of this name"),
        (PBX + 'delivery = "realtime"\n', 'asterisk[1].delivery: "realtime" needs store.url'),
        (PBX + 'view = "Miembros"\n', "asterisk[1].view: must be a name of a-z 0-9 _"),
        (PBX + 'username = "a\\r\\nAction: x"\n', "asterisk[1].username: must be text, not empty, in one line"),
        (PBX + 'tls_ca = "/no/such/file"\n', "asterisk[1].tls_ca: is not a readable PEM file"),
        ('[[asterisk]]\nname = "pbx1"\n', "asterisk[1]: needs exactly one of secret, secret_env and secret_file"),
        (PBX + 'secret_env = "X"\n', "asterisk[1]: needs exactly one of secret, secret_env and secret_file"),
    ],
)
def test_one_mistake(file: Path, text: str, said: str) -> None:
    found = mistakes(file, text)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_section_of_the_wrong_shape_is_the_mistake_not_its_environment_name(file: Path) -> None:
    assert mistakes(file, "http = 3\n") == ["http: is a table: write [http]"]
    assert mistakes(file, "asterisk = [3]\n", PLANTEL_HTTP_BIND="127.0.0.1:80") == [
        "asterisk[1]: is a table: write [asterisk[1]]"
    ]


def test_numbers_of_the_environment_are_decimal_digits(file: Path) -> None:
    assert mistakes(file, PBX, PLANTEL_ASTERISK_PBX1_PORT="²") == [
        "asterisk[1].port: must be an integer from 1 to 65535"
    ]


@pytest.mark.parametrize(
    "content", [b"[http\n", b"a = 1\na = 2\n", b'x = "\xff"\n', b"[http]\nbind = 127.0.0.1:8080\n"]
)
def test_a_file_that_is_not_toml(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(errors.ConfigUnreadable) as refusal:
        load(file, {})
    assert refusal.value.params["path"] == str(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(errors.ConfigUnreadable) as refusal:
            load(path, {})
        assert refusal.value.say("es") == f"{path} no se puede leer: {why}"


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[log]\nlevel = "error"\n')
    assert load(file, {}).log.level == "error"


# --- durations and sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2s", 2),
        ("500ms", 0.5),
        ("5m", 300),
        ("12h", 43200),
        ("30d", 2592000),
        ("1.5s", 1.5),
        ("7", 7),
        (7, 7),
        (0.5, 0.5),
        ("2 s", 2),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert Duration.read(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        "0s",
        -1,
        "-1s",
        "",
        "s",
        "2 weeks",
        "1e3",
        "inf",
        float("inf"),
        float("nan"),
        True,
        None,
        [],
        "36501d",
        "9" * 400,
        "٢s",
    ],
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(Unfit, match="must be a duration"):
        Duration.read(value)


@pytest.mark.parametrize(
    ("value", "size"), [("1", 1), (4096, 4096), ("1B", 1), ("64KiB", 65536), ("16MiB", 2**24), ("2 GiB", 2**31)]
)
def test_sizes(value: object, size: int) -> None:
    assert Size.read(value) == size


@pytest.mark.parametrize("value", [0, "0", -1, "16MB", "", "1.5MiB", 1.5, True, None, "2000GiB", "9" * 400])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(Unfit, match="must be a size"):
        Size.read(value)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_comes_from_the_environment_or_a_file(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text(SECRET + "\n")
    for text in ('secret_env = "PBX_SECRET"', 'secret_env = "PLANTEL_ASTERISK_PBX1_SECRET"', f'secret_file = "{kept}"'):
        settings = read(
            file, f'[[asterisk]]\nname = "pbx1"\n{text}\n', **({text[14:-1]: SECRET} if "env" in text else {})
        )
        assert settings.asterisk[0].secret.reveal() == SECRET
    settings = read(file, '[[asterisk]]\nname = "pbx1"\n', PLANTEL_ASTERISK_PBX1_SECRET=SECRET)
    assert settings.asterisk[0].secret.reveal() == SECRET


def test_the_url_of_the_store_may_be_kept_in_a_file(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "url"
    kept.write_text(f"postgresql://plantel:{SECRET}@db/plantel\n")
    settings = read(file, f'[store]\nurl_file = "{kept}"\n')
    assert settings.store.url == f"postgresql://plantel:{SECRET}@db/plantel"
    assert SECRET not in repr(settings)
    assert mistakes(file, f'[store]\nurl = "sqlite:///x.db"\nurl_file = "{kept}"\n') == [
        "store: needs only one of url and url_file"
    ]
    kept.write_text("\n")
    assert mistakes(file, f'[store]\nurl_file = "{kept}"\n') == ["store.url_file: leads to no URL: it is empty"]
    kept.unlink()
    assert mistakes(file, f'[store]\nurl_file = "{kept}"\n') == [
        "store.url_file: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_secret_that_is_not_there(file: Path, tmp_path: Path, content: bytes | None) -> None:
    kept = tmp_path / "secret"
    if content is not None:
        kept.write_bytes(content)
    assert len(mistakes(file, f'[[asterisk]]\nname = "pbx1"\nsecret_file = "{kept}"\n')) == 1
    assert mistakes(file, '[[asterisk]]\nname = "pbx1"\nsecret_env = "NOT_THERE"\n') == [
        "asterisk[1].secret_env: leads to no secret: it is empty"
    ]


def test_settings_do_not_show_their_secrets(file: Path) -> None:
    settings = read(file, PBX)
    for shown in (repr(settings), str(settings), f"{settings.asterisk}", repr(settings.asterisk[0])):
        assert "pbx1" in shown
        assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        PBX + f'secret_env = "{SECRET}"\nport = "{SECRET}"\n',
        f'[[asterisk]]\nname = "pbx1"\nsecret = ["{SECRET}"]\n',
        f'[[asterisk]]\nname = "{SECRET} {SECRET}"\nsecret = "{SECRET}"\ndelivery = "{SECRET}"\n',
        f'[http]\nbind = "{SECRET}"\ntrusted_proxies = ["{SECRET}"]\nbody_timeout = "{SECRET}"\n' + PBX,
        f'[[asterisk]]\nname = "pbx1"\nsecret = "{SECRET}\n',
    ],
)
def test_errors_do_not_show_values(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(errors.ConfigError) as refusal:
        load(file, {})
    for shown in (refusal.value.say("en"), refusal.value.say("es"), repr(refusal.value)):
        assert SECRET not in shown


# --- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_and_its_key(certificate: Certificate) -> None:
    check_certificate(HttpSettings())
    check_certificate(HttpSettings(tls_cert=str(certificate.cert), tls_key=str(certificate.key)))
    good = HttpSettings(tls_cert=str(certificate.cert), tls_key=str(certificate.key))
    for wrong in ({"tls_key": "/no/such/file"}, {"tls_cert": str(certificate.ca)}, {"tls_key": str(certificate.cert)}):
        with pytest.raises(errors.InvalidSetting) as refusal:
            check_certificate(msgspec.structs.replace(good, **wrong))
        assert "deben ser archivos PEM legibles" in refusal.value.say("es")
