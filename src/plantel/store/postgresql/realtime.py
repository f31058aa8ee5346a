"""The realtime view in PostgreSQL."""

from plantel.store.postgresql.connection import WRITE_LOCK
from plantel.store.realtime import LOCK_SECONDS, MARK, Part, RealtimeSql, RealtimeView, literal
from plantel.store.rows import APART

# As `SqlTransaction.reasons` has it; ordered by a sum, so that it is not looked for from the end of the whole journal.
_REASON = """CASE WHEN m.paused THEN (SELECT j.reason FROM journal AS j
        WHERE j.campaign = m.campaign AND j.membername = m.membername
        AND (j.reason IS NOT NULL OR j.before_paused IS NULL OR NOT j.before_paused)
        ORDER BY j.revision + 0 DESC LIMIT 1) END"""

FOUND = f"""SELECT c.relname, substr(obj_description(c.oid, 'pg_class'), {len(MARK) + 1}) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') LIKE '{MARK}%'"""  # noqa: S608 - a constant
"""The views that are Plantel's, and the state of each."""

_REFUSAL = "members are added and removed by Plantel"

PRESENT = f"""SELECT 'view', relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relkind = 'v' AND obj_description(oid, 'pg_class') LIKE '{MARK}%'
    UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
        AND proname LIKE '%!_written' ESCAPE '!' AND strpos(prosrc, '{_REFUSAL}') > 0
    UNION ALL SELECT 'index', indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'members'
        AND indexname LIKE 'members!_uniqueid%' ESCAPE '!'"""  # noqa: S608 - constants
"""All parts of views, of whatever configuration: kind and name."""


class PostgresqlRealtime(RealtimeSql):
    """An INSTEAD OF trigger takes what Asterisk writes. It runs with the rights of the view's owner, so that Asterisk's
    user needs none but to the view, and finds its tables in `schema` alone."""

    phones = "members"

    def __init__(self, view: RealtimeView, schema: str) -> None:
        super().__init__(view)
        self._schema = '"' + schema.replace('"', '""') + '"'

    def _joined(self, *texts: str) -> str:
        return f"({' || '.join(texts)})"

    def _uniqueid(self, member: str = "") -> str:
        """Immutable, for an index."""
        interface = self._interface(member)
        text = f"{member}campaign::text || chr(10) || {member}membername || chr(10) || {interface}"
        return f"('x' || substr(md5({text}), 1, 15))::bit(60)::bigint"

    def _matches(self, column: str, pattern: str) -> str:
        return f"{column} ~* {literal(pattern)}"

    @property
    def parts(self) -> set[Part]:
        return {Part("view", self.view.name), Part("function", f"{self.view.name}_written"), Part("index", self._index)}

    @property
    def _index(self) -> str:
        return f"members_uniqueid{self._suffix}"

    def _statements(self, mark: str) -> list[str]:
        name = self.view.name
        return [
            f"CREATE INDEX IF NOT EXISTS {self._index} ON members (({self._uniqueid()}))",
            f"""CREATE OR REPLACE VIEW {name} AS SELECT
    c.name::varchar(80) AS queue_name,
    {self._interface("m.")}::varchar(80) AS interface,
    m.membername::varchar(80) AS membername,
    ({self._state})::varchar(80) AS state_interface,
    m.penalty::integer AS penalty,
    m.paused::integer AS paused,
    {self._uniqueid("m.")} AS uniqueid,
    NULL::integer AS wrapuptime,
    NULL::varchar(3) AS ringinuse,
    ({_REASON})::varchar(80) AS reason_paused
FROM campaigns AS c JOIN members AS m ON m.campaign = c.id WHERE {self._share}{self._fits}""",  # noqa: S608 - settings, checked and quoted
            self._function,
            f"""CREATE OR REPLACE TRIGGER {name}_written INSTEAD OF INSERT OR UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION {name}_written()""",
            f"COMMENT ON VIEW {name} IS {literal(mark)}",
        ]

    @property
    def _function(self) -> str:
        # The lock comes before the look at the member, so that what is numbered is decided on what stands before it. A
        # value that the statement leaves as it was must not undo what was stored while it waited.
        return f"""CREATE OR REPLACE FUNCTION {self.view.name}_written() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = {self._schema}, pg_temp SET lock_timeout = '{LOCK_SECONDS}s' AS $plantel$
DECLARE
    before members%ROWTYPE;
    after members%ROWTYPE;
    new_batch bigint;
    new_revision bigint;
    new_at bigint;
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION '{_REFUSAL}, not in %', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.queue_name, NEW.interface, NEW.membername, NEW.state_interface, NEW.uniqueid, NEW.wrapuptime, NEW.ringinuse)
    IS DISTINCT FROM
    (OLD.queue_name, OLD.interface, OLD.membername, OLD.state_interface, OLD.uniqueid, OLD.wrapuptime, OLD.ringinuse)
    THEN
        RAISE EXCEPTION 'nothing but paused, penalty and reason_paused is written in %', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.paused IS NULL OR NEW.penalty IS NULL OR NEW.penalty < 0 THEN
        RAISE EXCEPTION 'paused has to be a number, and penalty 0 or more' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock({WRITE_LOCK});
    SELECT m.* INTO before FROM members AS m WHERE {self._uniqueid("m.")} = OLD.uniqueid;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    after := before;
    IF NEW.paused <> OLD.paused THEN
        after.paused := NEW.paused <> 0;
    END IF;
    IF NEW.penalty <> OLD.penalty THEN
        after.penalty := NEW.penalty;
    END IF;
    IF after.paused = before.paused AND after.penalty = before.penalty THEN
        RETURN NEW;
    END IF;
    UPDATE members AS m SET penalty = after.penalty, paused = after.paused
    WHERE m.campaign = before.campaign AND m.membername = before.membername;
    SELECT coalesce(max(number), 0) + 1 INTO new_batch FROM batches;
    SELECT coalesce(max(revision), 0) + 1 INTO new_revision FROM journal;
    new_at := extract(epoch FROM clock_timestamp()) * 1000000;
    new_at := greatest(new_at, (SELECT at FROM batches WHERE number = new_batch - 1 AND at <= new_at + {APART}));
    INSERT INTO batches (number, id, instance, actor, source, at, items, problems, revision, changes)
    VALUES (new_batch,
        lpad(to_hex(new_at / 1000), 12, '0')
        || left(replace(gen_random_uuid()::text, '-', ''), 16),
        {literal(self.view.instance)}, {literal(f"server:{self.view.server}")}, 'server',
        new_at, 1, '[]', new_revision, 1);
    INSERT INTO journal (revision, batch, campaign, membername, kind, after_interface, after_penalty, after_paused,
        before_interface, before_penalty, before_paused, reason)
    VALUES (new_revision, new_batch, before.campaign, before.membername, 'updated', before.interface, after.penalty,
        after.paused, before.interface, before.penalty, before.paused,
        CASE WHEN after.paused AND NEW.reason_paused IS DISTINCT FROM OLD.reason_paused
        THEN NULLIF(NEW.reason_paused, '') END);
    PERFORM nextval('commits');
    RETURN NEW;
END
$plantel$"""  # noqa: S608 - settings, checked and quoted
