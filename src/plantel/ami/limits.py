"""The budget of one Asterisk: how much it may make this side read, keep or wait for, whatever it sends.

Each figure stands here with its reason. Past one of them the connection ends, and the reason is the server's state.
What is kept of its news between two looks is bounded in `reconcile` and `drift`, what becomes of its queues in
`service`.
"""

# --- one message ---

BANNER_BYTES = 256
"""The longest first line that is waited for. Asterisk's has 29 bytes."""

MESSAGE_BYTES = 64 * 1024
"""The longest message that is waited for. The longest that is ever asked for, all commands of an Asterisk with every
module, has 20 KiB; an event with every channel variable has less."""

LINES_MOST = 1_000
"""Lines of one message. To take them apart costs a quarter of a microsecond each."""

ITEM_BYTES = 4 * 1024
"""The longest item of a list: a queue or a member. Asterisk's have 20 lines, whose texts it cuts at 80 bytes."""

NAME_BYTES = 255
"""The longest name of a queue or an interface in an event; Asterisk keeps 80 bytes. One that is longer is not kept: the
event then says that anything may have changed."""

DIGITS_MOST = 10
"""Digits of a number: Asterisk keeps penalties and times in a C int, or a little more."""

# --- one look ---

QUEUES_MOST = 10_000
"""Queues in one look. The largest site that we know of has 400."""

MEMBERS_MOST = 200_000
"""Members in one look, four times what is supported at rest. They are 86 MB on the wire."""

LOOK_BYTES = 128 * 2**20
"""Bytes of all items of one look: 200,000 members with names of twice the usual length."""

WHOLE_SECONDS = 60.0
"""From the first word of what was asked for to the last, however often a next one comes. Asterisk lists 200,000 members
in 4 s."""

ACTION_SECONDS = 0.5
"""As much for each change of a run of many. Asterisk makes one in 0.1 ms; one that writes it into a remote database
takes 50."""

# --- what comes and goes without being asked for ---

IN_FLIGHT_MOST = 1024
"""Actions sent and not yet answered. Asterisk runs one at a time, about 10,000 a second: half of these keep it busy
while this side is kept from running for some 50 ms, and more would only lie in its socket."""

PIECE_BYTES = 4 * 1024
"""So much is taken apart before the clock is looked at: the worst that fits in, 800 messages of a byte, takes 2 ms."""

STEP_SECONDS = 0.002
"""After so long the rest of what arrived waits for the event loop's next round; nothing is read meanwhile."""

# --- connections ---

QUICK_CONNECTIONS = 3
"""So many in a row may end as soon as they were made, and the next is made at once."""

LASTING_SECONDS = 5.0
"""A connection that ended sooner than this counts as one of those."""

FIRST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds without a connection after that, doubled each time."""

# --- what is shown of it ---

DETAIL_MOST = 200
"""Characters of a server's own words that are shown: in a state, in the log."""
