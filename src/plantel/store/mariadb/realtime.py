"""The realtime view in MariaDB."""

from plantel.store.realtime import MARK, Part, RealtimeSql, literal
from plantel.store.rows import APART

FOUND = f"""SELECT table_name, REGEXP_SUBSTR(view_definition, '(?<={MARK})[0-9a-f]+') FROM information_schema.views
    WHERE table_schema = DATABASE() AND view_definition LIKE '%{MARK}%'"""  # noqa: S608 - a constant
"""The views that are Plantel's, and the state of each."""

PRESENT = f"""SELECT 'view', table_name FROM information_schema.views
        WHERE table_schema = DATABASE() AND view_definition LIKE '%{MARK}%'
    UNION ALL SELECT 'trigger', trigger_name FROM information_schema.triggers
        WHERE trigger_schema = DATABASE() AND event_object_table = 'members'
        AND trigger_name LIKE 'members!_%' ESCAPE '!'
    UNION ALL SELECT 'table', table_name FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name = 'member_phones' AND table_comment = '{MARK}'
    UNION ALL SELECT 'column', column_name FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'members'
        AND (column_name = 'queue_name' OR column_name LIKE 'uniqueid%')"""  # noqa: S608 - a constant
"""All parts of views, of whatever configuration: kind and name."""

OWN = "@plantel"
"""Set in every session of Plantel's, whose changes are in the journal already."""

_NAMING = "SELECT name FROM campaigns WHERE id = {}.campaign"

_QUEUE_NAME = """ALTER TABLE members
    ADD COLUMN IF NOT EXISTS queue_name varchar(80) INVISIBLE,
    ADD INDEX IF NOT EXISTS members_queue_name (queue_name)"""

_UNIQUEID = """ALTER TABLE members
    ADD COLUMN IF NOT EXISTS {column} bigint unsigned AS (
        CONV(LEFT(MD5(CONCAT(campaign, '\n', membername, '\n', {interface})), 15), 16, 10)) VIRTUAL INVISIBLE,
    ADD INDEX IF NOT EXISTS members_{column} ({column})"""

_PLACED = f"""CREATE OR REPLACE TRIGGER members_placed BEFORE INSERT ON members FOR EACH ROW
    SET NEW.queue_name = ({_NAMING.format("NEW")})"""

_NAMED = f"UPDATE members SET queue_name = ({_NAMING.format('members')}) WHERE queue_name IS NULL"  # noqa: S608 - constants

# The row is locked when the trigger begins; the last batch and revision are read as they are, not as they were when the
# transaction began. What a session of Plantel's changes goes straight through.
_WRITTEN = f"""CREATE OR REPLACE TRIGGER members_written BEFORE UPDATE ON members FOR EACH ROW
BEGIN
    DECLARE new_batch, new_revision, new_at bigint;
    IF {OWN} IS NULL THEN
        IF NOT NEW.queue_name <=> OLD.queue_name OR NEW.campaign <> OLD.campaign OR NEW.membername <> OLD.membername
        OR NEW.interface <> OLD.interface OR NEW.phone <> OLD.phone THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nothing but paused and penalty is written here';
        END IF;
        IF NEW.penalty < 0 THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'penalty has to be 0 or more';
        END IF;
        SET NEW.paused = NEW.paused <> 0;
        IF NEW.penalty <> OLD.penalty OR NEW.paused <> OLD.paused THEN
            SELECT version INTO new_batch FROM turn FOR UPDATE;
            UPDATE turn SET version = version + 1;
            SELECT COALESCE(MAX(number), 0) + 1 INTO new_batch FROM batches LOCK IN SHARE MODE;
            SELECT COALESCE(MAX(revision), 0) + 1 INTO new_revision FROM journal LOCK IN SHARE MODE;
            SET new_at = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6));
            SELECT GREATEST(new_at, COALESCE(MAX(at), 0)) INTO new_at FROM batches
            WHERE number = new_batch - 1 AND at <= new_at + {APART} LOCK IN SHARE MODE;
            INSERT INTO batches (number, id, instance, actor, source, at, items, problems, revision, changes)
            SELECT new_batch,
                CONCAT(LPAD(LOWER(HEX(new_at DIV 1000)), 12, '0'), LEFT(MD5(UUID()), 16)),
                instance, CONCAT('server:', SUBSTRING_INDEX(USER(), '@', 1)), 'server',
                new_at, 1, '[]', new_revision, 1
            FROM campaigns WHERE id = OLD.campaign;
            INSERT INTO journal (revision, batch, campaign, membername, kind, after_interface, after_penalty,
                after_paused, before_interface, before_penalty, before_paused)
            VALUES (new_revision, new_batch, OLD.campaign, OLD.membername, 'updated', OLD.interface, NEW.penalty,
                NEW.paused, OLD.interface, OLD.penalty, OLD.paused);
        END IF;
    END IF;
END"""  # noqa: S608 - constants

# No row of a view can be written whose conditions look at the table that is written, not even from a function.
_PHONES = [
    f"""CREATE TABLE IF NOT EXISTS member_phones (
        campaign integer NOT NULL, phone varchar(79) NOT NULL, membername varchar(79) NOT NULL,
        PRIMARY KEY (campaign, phone)
    ) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin COMMENT = '{MARK}'""",
    """CREATE OR REPLACE TRIGGER members_phone_added AFTER INSERT ON members FOR EACH ROW
    INSERT INTO member_phones (campaign, phone, membername) VALUES (NEW.campaign, NEW.phone, NEW.membername)""",
    """CREATE OR REPLACE TRIGGER members_phone_changed AFTER UPDATE ON members FOR EACH ROW
BEGIN
    IF NEW.campaign <> OLD.campaign OR NEW.phone <> OLD.phone OR NEW.membername <> OLD.membername THEN
        UPDATE member_phones SET campaign = NEW.campaign, phone = NEW.phone, membername = NEW.membername
        WHERE campaign = OLD.campaign AND phone = OLD.phone;
    END IF;
END""",
    """CREATE OR REPLACE TRIGGER members_phone_removed AFTER DELETE ON members FOR EACH ROW
    DELETE FROM member_phones WHERE campaign = OLD.campaign AND phone = OLD.phone""",
    "INSERT IGNORE INTO member_phones SELECT campaign, phone, membername FROM members",
]


class MariadbRealtime(RealtimeSql):
    """`members` gets what the view needs, since there are no INSTEAD OF triggers, and since a prepared UPDATE through a
    view of two tables is refused for lack of rights (10.11; ODBC prepares): a column with the queue's name, for
    Asterisk to look up by, and a trigger that takes what others than Plantel write.

    With a `mapping`, it has also to know the other phones of a campaign: triggers keep `member_phones` as a copy.

    A view that showed the journal's reasons could not be written either, as its trigger writes the journal.

    The journal calls the server by its database user: a trigger cannot see through which view a row is written.
    """

    phones = "member_phones"

    @property
    def parts(self) -> set[Part]:
        triggers = ["members_placed", "members_written"]
        parts = {Part("view", self.view.name), Part("column", "queue_name"), Part("column", self._uniqueid)}
        if self.view.mapping:
            triggers += ["members_phone_added", "members_phone_changed", "members_phone_removed"]
            parts.add(Part("table", self.phones))
        return parts | {Part("trigger", name) for name in triggers}

    @property
    def _uniqueid(self) -> str:
        return f"uniqueid{self._suffix}"

    def _statements(self, mark: str) -> list[str]:
        return [
            _QUEUE_NAME,
            _UNIQUEID.format(column=self._uniqueid, interface=self._interface()),
            *(_PHONES if self.view.mapping else ()),
            _PLACED,
            _NAMED,
            _WRITTEN,
            f"""CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY DEFINER VIEW {self.view.name} AS SELECT
    m.queue_name AS queue_name,
    CONCAT({self._interface("m.")}) AS interface,
    CONCAT(m.membername) AS membername,
    {self._state} AS state_interface,
    m.penalty AS penalty,
    m.paused AS paused,
    m.{self._uniqueid} AS uniqueid,
    CAST(NULL AS integer) AS wrapuptime,
    CAST(NULL AS char(3)) AS ringinuse,
    CAST(NULL AS char(80)) AS reason_paused
FROM members AS m WHERE m.campaign IN (SELECT c.id FROM campaigns AS c WHERE {self._share}){self._fits}
AND {literal(mark)} <> ''""",  # noqa: S608 - settings, checked and quoted
        ]

    def _joined(self, *texts: str) -> str:
        return f"CONCAT({', '.join(texts)})"

    def _matches(self, column: str, pattern: str) -> str:
        return f"{column} REGEXP {literal(f'(?i){pattern}')}"
