"""`plantel check`, `plan` and `sync` against an AMI server that behaves, and that does not."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, make_url

from plantel.plan import LiveMember
from plantel.reconcile import lease_name
from plantel.retention import LEASE
from plantel.store import open_store, schema
from plantel.store.mariadb.database import MariadbDatabase
from plantel.store.postgresql.database import PostgresqlDatabase
from plantel.store.sqlite.connection import engine as sqlite_engine
from plantel.testing.ami_server import AmiServer
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.pgbouncer import PrivatePgbouncer
from tests.support.server import PlantelServer, free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pbx() -> AsyncIterator[AmiServer]:
    async with AmiServer(["Ventas->", "POWER<-"]) as server:
        yield server


def plantel(folder: Path, port: int, *, store: str = "", **keys: object) -> PlantelServer:
    """A configuration with one server, named pbx1."""
    lines = {"name": "pbx1", "port": port, "username": "plantel", "secret": "secret", **keys}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    return PlantelServer(folder, store=store, config=f"[[asterisk]]\n{text}")


async def run(server: PlantelServer, *arguments: str, code: int = 0, lang: str = "en") -> str:
    """In a thread: the AMI server answers from this one."""
    done = await asyncio.to_thread(server.outcome, *arguments, lang=lang)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


async def findings(server: PlantelServer, subject: str, *, code: int) -> list[dict[str, Any]]:
    return [
        one for one in json.loads(await run(server, "check", "--json", code=code)) if one["subject"].startswith(subject)
    ]


# --- check -----------------------------------------------------------------------------------------------------------


async def test_check_without_any_server(tmp_path: Path) -> None:
    alone = PlantelServer(tmp_path)
    alone.declare([])
    shown = await run(alone, "check", lang="es")
    assert [line[:5] for line in shown.splitlines()[:4]] == ["bien "] * 4
    assert "no hay ningún servidor configurado" in shown


async def test_check_finds_all_well_and_names_queues_that_are_missing(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    await run(server, "campaign", "add", "Ventas->")
    shown = await run(server, "check")
    assert f"ok   asterisk pbx1: AMI 5.0.4 at 127.0.0.1:{pbx.port}, 2 queues, 0 members" in shown
    await run(server, "campaign", "add", "Cobros")
    shown = await run(server, "check", code=1, lang="es")
    assert "MAL  campaign Cobros: ningún servidor tiene una cola con este nombre" in shown
    assert "[Cobros]" in shown


async def test_check_names_missing_privileges_and_modules(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    await run(server, "campaign", "add", "Ventas->")
    await run(server, "member", "add", "Ventas->", "ana", "PJSIP/1")
    pbx.write = frozenset({"agent", "system"})
    found = await findings(server, "asterisk pbx1", code=1)
    assert [one["good"] for one in found] == [True, False]
    assert "Asterisk 16.28.0" in found[0]["what"]
    assert found[1]["what"] == "1 members have a PJSIP/ interface, and chan_pjsip is not loaded there"
    pbx.write = frozenset()
    pbx.read = frozenset({"agent"})
    found = await findings(server, "asterisk pbx1", code=1)
    assert [one["good"] for one in found] == [True, False]
    assert found[1]["what"] == "the AMI user lacks write = agent, read = system,agent"
    assert "read = system,agent and write = agent" in found[1]["remedy"]


async def test_check_suggests_a_rule_where_chan_sip_is_gone_and_shows_the_rule_that_holds(
    tmp_path: Path, pbx: AmiServer
) -> None:
    pbx.banner = b"Asterisk Call Manager/11.0.0\r\n"
    server = plantel(tmp_path, pbx.port)
    await run(server, "campaign", "add", "Ventas->")
    await run(server, "member", "add", "Ventas->", "ana", "SIP/1001")
    await run(server, "member", "add", "Ventas->", "eva", "Local/77@agents/n")
    _, missing = await findings(server, "asterisk pbx1", code=1)
    assert missing["what"] == "1 members have a SIP/ interface, and chan_sip is not loaded there"
    assert 'map = { "SIP/" = "PJSIP/" }' in missing["remedy"]

    server.config.write_text(
        server.config.read_text()
        + """[asterisk.map]
        "SIP/" = "PJSIP/"
        [asterisk.state]
        "Local/{phone}@agents/n" = "PJSIP/{phone}"
        """
    )
    shown = await run(server, "check")
    assert 'asterisk pbx1: map: "SIP/" = "PJSIP/" holds for 1 members, such as SIP/1001 -> PJSIP/1001' in shown
    assert 'state: "Local/{phone}@agents/n" = "PJSIP/{phone}" holds for 1 members' in shown
    assert "  Ventas->: add ana at SIP/1001 -> PJSIP/1001, penalty 0" in await run(server, "plan")
    assert "agregar eva en Local/77@agents/n (estado de PJSIP/77)," in await run(server, "plan", lang="es")
    await run(server, "sync")
    ana, eva = pbx.pbx.members()["Ventas->"]
    assert (ana.interface, eva.state_interface) == ("PJSIP/1001", "PJSIP/77")
    assert "SIP/1001 (pbx1: PJSIP/1001)" in await run(server, "member", "list", "Ventas->")
    listed = json.loads(await run(server, "member", "list", "Ventas->", "--json"))
    assert [(one["interface"], one.get("called")) for one in listed] == [
        ("SIP/1001", {"pbx1": "PJSIP/1001"}),
        ("Local/77@agents/n", None),
    ]


@pytest.mark.parametrize("drift", ["repair", "observe"])
async def test_plan_shows_each_change_of_a_mapped_phone_under_both_names(
    tmp_path: Path, pbx: AmiServer, drift: str
) -> None:
    server = plantel(tmp_path, pbx.port, drift=drift)
    server.config.write_text(server.config.read_text() + '[asterisk.map]\n"SIP/" = "PJSIP/"\n')
    await run(server, "campaign", "add", "Ventas->")
    await run(server, "member", "add", "Ventas->", "ana", "SIP/1001")
    await run(server, "member", "add", "Ventas->", "eva", "SIP/1002")
    await run(server, "sync")
    pbx.pbx.pause("Ventas->", "PJSIP/1001", True)
    pbx.pbx.penalise("Ventas->", "PJSIP/1001", 4)
    await run(server, "member", "pause", "Ventas->", "eva")
    shown = await run(server, "plan")
    assert "  take over from the server: Ventas->: SIP/1001 -> PJSIP/1001 paused=1" in shown
    assert "  Ventas->: SIP/1002 -> PJSIP/1002: paused 1" in shown
    assert ("  Ventas->: SIP/1001 -> PJSIP/1001: penalty 0" in shown) is (drift == "repair")
    (result,) = json.loads(await run(server, "plan", "--json"))
    assert [(one["interface"], one["called"]) for one in result["observed"]] == [("SIP/1001", "PJSIP/1001")]
    assert {(one["sent"], one["interface"]) for one in result["actions"]} <= {
        ("SIP/1001", "PJSIP/1001"),
        ("SIP/1002", "PJSIP/1002"),
    }
    shown = await run(server, "sync", code=0 if drift == "repair" else 1)
    assert ("SIP/1001 -> PJSIP/1001" in shown) is (drift == "observe"), "a drift that is only reported"


async def test_check_tells_the_ways_of_not_reaching_a_server_apart(tmp_path: Path, pbx: AmiServer) -> None:
    (found,) = await findings(plantel(tmp_path, free_port()), "asterisk", code=1)
    assert found["what"].startswith("no AMI connection: ")
    assert "manager.conf" in found["remedy"]
    (found,) = await findings(plantel(tmp_path, pbx.port, secret="wrong"), "asterisk", code=1)
    assert found["what"] == "AMI refuses the user plantel: Authentication failed"
    assert "[plantel] of manager.conf" in found["remedy"]
    pbx.banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    (found,) = await findings(plantel(tmp_path, pbx.port), "asterisk", code=1)
    assert found["what"].startswith("this does not look like AMI: ")
    assert "5038" in found["remedy"]


async def test_check_names_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    text = server.config.read_text().replace(f"{tmp_path}/plantel.db", f"{tmp_path}/none/plantel.db")
    server.config.write_text(text)
    shown = await run(server, "check", code=1)
    assert "BAD  store: the store is unavailable: " in shown
    assert "-> check that the folder exists and that this user may write there" in shown


def below(url: str) -> Engine:
    """The database of a store, as it is."""
    if url.startswith("sqlite"):
        return sqlite_engine(url.removeprefix("sqlite:///"))
    return (PostgresqlDatabase if url.startswith("postgresql") else MariadbDatabase)(url).engine


def tables(url: str) -> list[str]:
    """What is in it; of a file that is not there, nothing."""
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return []
    with below(url).connect() as connection:
        return inspect(connection).get_table_names()


async def test_check_makes_nothing_where_there_is_no_store_yet(tmp_path: Path, store_url: str, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port, store=store_url)
    shown = await run(server, "check")
    assert "there is no store of Plantel yet: plantel serve makes it" in shown
    assert "ok   asterisk pbx1: " in shown, "the servers are looked at all the same"
    assert tables(store_url) == []
    server.declare(["Ventas->"])
    shown = await run(server, "check")
    assert "ok   journal: everything is known since the beginning" in shown
    assert "members" in tables(store_url)


async def test_check_migrates_nothing(tmp_path: Path, store_url: str) -> None:
    with below(store_url).connect() as connection:
        schema.alembic_version.create(connection)  # as Alembic leaves a store below the first version
    (found,) = await findings(PlantelServer(tmp_path, store=store_url), "store", code=1)
    assert f"this version needs {schema.VERSION}: run plantel serve once to migrate it" in found["what"]
    assert tables(store_url) == ["alembic_version"]


async def test_check_tells_which_nodes_are_connected_and_what_each_works_on(
    tmp_path: Path, store_url: str, pbx: AmiServer
) -> None:
    server = plantel(tmp_path, pbx.port, store=store_url)
    store = open_store(store_url)
    try:
        async with store.lease(lease_name("default", "pbx1"), 10), store.lease(LEASE, 10):
            found = await findings(server, "nodes", code=0)
    finally:
        await store.close()
    if store_url.startswith("sqlite"):
        assert found == [], "nobody knows"
        return
    node = "127.0.0.1"
    if store_url.startswith("postgresql"):
        node = f"plantel {socket.gethostname()[:40]}:{os.getpid()} ({node})"
    assert [one["what"] for one in found] == [f"connected to the database: {node}, at work on pbx1, journal just now"]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_check_says_that_no_node_is_connected(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    server = PlantelServer(tmp_path, store=request.getfixturevalue(f"{kind}_url"))
    (found,) = await findings(server, "nodes", code=0)
    assert found["what"] == "none is connected to the database"


async def test_a_pooler_that_lends_sessions_is_noticed(
    tmp_path: Path, postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    await open_store(postgresql_url).close()
    with PrivatePgbouncer(postgresql, "transaction") as pooler:
        server = PlantelServer(tmp_path, store=pooler.url(str(make_url(postgresql_url).database)))
        (found,) = await findings(server, "store", code=1)
        assert "leads to a pooler that lends a session" in found["what"]
        done = await asyncio.to_thread(server.outcome, "serve", lang="es")
    assert done.returncode == 2
    assert "store.url: lleva a un agrupador que presta una sesión" in done.stderr


async def test_a_pooler_that_leaves_each_connection_its_session_is_as_good_as_none(
    tmp_path: Path, postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    await open_store(postgresql_url).close()
    with PrivatePgbouncer(postgresql, "session") as pooler:
        server = PlantelServer(tmp_path, store=pooler.url(str(make_url(postgresql_url).database)))
        assert "BAD" not in await run(server, "check")


async def test_check_names_a_table_that_may_only_be_read_in_postgresql(
    tmp_path: Path, postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    await open_store(postgresql_url).close()
    database = str(make_url(postgresql_url).database)
    postgresql.execute(f"CREATE ROLE reader_{database} LOGIN PASSWORD 'secret'")
    postgresql.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{database}", database=database)
    postgresql.execute(f"GRANT SELECT, USAGE ON SEQUENCE commits TO reader_{database}", database=database)
    url = f"postgresql://reader_{database}:secret@{postgresql.host}:{postgresql.port}/{database}"
    (found,) = await findings(PlantelServer(tmp_path, store=url), "store", code=1)
    assert "permission denied for table batches" in found["what"]


async def test_check_names_a_table_that_may_only_be_read_in_mariadb(
    tmp_path: Path, mariadb: PrivateMariadb, mariadb_url: str
) -> None:
    await open_store(mariadb_url).close()
    database = str(make_url(mariadb_url).database)
    who = f"reader_{database}@'{mariadb.host}'"
    mariadb.sql(f"CREATE USER {who} IDENTIFIED BY 'secret'", f"GRANT SELECT ON {database}.* TO {who}")
    url = f"mariadb://reader_{database}:secret@{mariadb.host}:{mariadb.port}/{database}"
    (found,) = await findings(PlantelServer(tmp_path, store=url), "store", code=1)
    assert "command denied to user" in found["what"]


# --- plan and sync ---------------------------------------------------------------------------------------------------


async def test_plan_changes_nothing_and_sync_makes_it_so(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    foreign = LiveMember("SIP/9", "somebody", 0, once_paused=False)
    pbx.pbx.add("Ventas->", foreign.interface, foreign.membername, 0, False)
    await run(server, "campaign", "add", "Ventas->")
    await run(server, "member", "add", "Ventas->", "José Ñandú", "SIP/1001", "--penalty", "2", "--paused")
    before = pbx.pbx.members()

    shown = await run(server, "plan", lang="es")
    assert "pbx1: 1 cambios por hacer" in shown
    assert "  Ventas->: agregar José Ñandú en SIP/1001, penalty 2, paused 1" in shown
    assert pbx.pbx.members() == before

    await run(server, "sync")
    wanted = LiveMember("SIP/1001", "José Ñandú", 2, paused=True)
    assert pbx.pbx.members()["Ventas->"] == (foreign, wanted)
    assert await run(server, "plan") == "pbx1: agrees with the roster\n"
    (result,) = json.loads(await run(server, "sync", "--json"))
    assert (result["server"], result["agreed"], result["actions"], result["blocked"]) == ("pbx1", True, [], [])

    await run(server, "member", "remove", "Ventas->", "José Ñandú")
    await run(server, "sync")
    assert pbx.pbx.members()["Ventas->"] == (foreign,)


async def test_sync_tells_what_is_not_possible(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    await run(server, "campaign", "add", "Cobros")
    await run(server, "member", "add", "Cobros", "ana", "SIP/1001")
    shown = await run(server, "sync", code=1, lang="es")
    assert "  no es posible: pbx1: no existe la cola Cobros" in shown
    (result,) = json.loads(await run(server, "plan", "--json"))
    assert [one["code"] for one in result["blocked"]] == ["queue_missing"]
    await run(server, "member", "add", "POWER<-", "ana", "SIP/1001")  # a campaign that the sync has discovered
    pbx.write = frozenset()
    shown = await run(server, "sync", code=1)
    assert "pbx1: the AMI user lacks a privilege for QueueAdd" in shown
    assert pbx.pbx.members()["POWER<-"] == ()


async def test_sync_and_plan_fail_where_a_server_is_away(tmp_path: Path) -> None:
    server = plantel(tmp_path, free_port())
    (result,) = json.loads(await run(server, "sync", "--json", code=1))
    assert (result["server"], result["error"]) == ("pbx1", "switch_unreachable")
    await run(server, "plan", code=1)


# --- drift, adopt, release -------------------------------------------------------------------------------------------


async def test_drift_tells_what_was_changed_how_and_what_was_done(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    assert await run(server, "drift") == ""
    await run(server, "campaign", "add", "Ventas->")
    await run(server, "member", "add", "Ventas->", "ana", "SIP/1")
    await run(server, "sync")
    pbx.pbx.penalise("Ventas->", "SIP/1", 9)
    await run(server, "sync")
    shown = await run(server, "drift", lang="es")
    assert shown.splitlines()[0].split() == ["cuándo", "servidor", "campaña", "miembro", "qué", "cómo", "hecho"]
    assert "ana SIP/1" in shown
    assert "penalty 0 -> 9" in shown
    assert "mientras nadie miraba" in shown
    assert "corregido" in shown
    (record,) = json.loads(await run(server, "drift", "--server", "pbx1", "--campaign", "ventas->", "--json"))
    assert (record["kind"], record["expected"], record["found"]) == ("penalty", "0", "9")
    assert (record["route"], record["done"], record["count"]) == ("away", "repaired", 1)
    assert json.loads(await run(server, "drift", "--server", "pbx2", "--json")) == []


async def test_a_foreign_member_is_shown_adopted_and_released_again(tmp_path: Path, pbx: AmiServer) -> None:
    server = plantel(tmp_path, pbx.port)
    pbx.pbx.add("Ventas->", "SIP/7", "Siete", 2, paused=True)
    await run(server, "sync")
    (found,) = json.loads(await run(server, "member", "adopt", "Ventas->", "--json"))
    assert (found["membername"], found["interface"], found["membership"]) == ("Siete", "SIP/7", "dynamic")
    assert "Siete" in await run(server, "member", "adopt", "Ventas->")
    await run(server, "member", "adopt", "Ventas->", "Nadie", code=1)
    await run(server, "member", "adopt", "Ventas->", "Siete", "--server", "pbx2", code=1)
    assert "added: Siete SIP/7 penalty=2 paused=1" in await run(server, "member", "adopt", "Ventas->", "Siete")
    (member,) = json.loads(await run(server, "member", "list", "Ventas->", "--json"))
    assert (member["interface"], member["penalty"], member["paused"]) == ("SIP/7", 2, True)
    assert "removed: Siete" in await run(server, "member", "release", "Ventas->", "SIP/7")
    await run(server, "sync")
    assert [one.interface for one in pbx.pbx.members()["Ventas->"]] == ["SIP/7"]


async def test_a_name_that_cannot_be_printed_is_shown_escaped_everywhere(tmp_path: Path, pbx: AmiServer) -> None:
    """As of `member => SIP/7,0,Jos\\xe9` in ISO-8859-1, or of somebody who wants to write on our terminal."""
    server = plantel(tmp_path, pbx.port)
    pbx.pbx.add("Ventas->", "SIP/7", "Jos\udce9 \x1b[2J\u009b\u202e", 2, paused=True)
    await run(server, "sync")
    await run(server, "member", "add", "Ventas->", "Siete", "SIP/7")
    shown = r"Jos\xe9 \x1b[2J\x9b\u202e"
    for arguments in (("adopt", "Ventas->"), ("adopt", "Ventas->", shown), ("adopt", "Ventas->", "Jos\udce9")):
        done = await asyncio.to_thread(server.outcome, "member", *arguments)
        printed = (done.stdout + done.stderr).replace("\n", "")
        assert printed.isprintable()
        assert "Traceback" not in printed
        assert (shown in done.stdout) == (len(arguments) == 2)
    (found,) = json.loads(await run(server, "member", "adopt", "Ventas->", "--json"))
    assert found["membername"].startswith(r"Jos\xe9 ")
    for asked in ("Siete", "Jos\udce9"):
        assert (await run(server, "why", asked, "Ventas->")).replace("\n", "").isprintable()
        told = await run(server, "why", asked, "Ventas->", "--json")
        assert told.replace("\n", "").isprintable()
        assert json.loads(told)
    assert shown in await run(server, "why", "Siete", "Ventas->")
    assert json.loads(await run(server, "drift", "--campaign", "Jos\udce9", "--json")) == []
