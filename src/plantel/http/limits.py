"""The budget of one request: what anybody out there may make this server keep, read or wait for.

Each figure stands here with its reason. Where sites differ, a setting says so instead (`[http] body_limit`, for one).
"""

LOGIN_BODY = 8 * 1024
"""Bytes of a form with a name and a password (or a token): what a stranger may have taken apart before he is known."""

QUERY_BODY = 8 * 1024
"""Bytes of a form that only names a campaign, and of a query string."""

FIELDS = 100
"""Fields of a form or a query string. The calls take three at most; browsers and libraries add a few of their own."""

NAME = 255
"""Bytes of a user's name or a token's. The longest that can exist is 79; the rest is for what libraries put around."""

HEADER_BYTES = 64 * 1024
"""Bytes of all headers of one request. Proxies and single sign-on add cookies of up to 16 KiB."""

BAD_ESCAPES = 100_000
"""`%` that begin no escape, in one field. One for each item of the largest batch, e.g. of a campaign "Línea 100%"."""

AT_ONCE = 32 * 1024
"""Bytes of a batch that the event loop takes apart itself, if nothing is wrong with it: 400 members, about 1 ms."""

EXPLAINED_AT_ONCE = 1024
"""Bytes of a batch in which the loop also finds what is wrong: an error takes longer than a member, 500 fit: 2 ms."""

BAD_ESCAPES_AT_ONCE = 1_000
"""`BAD_ESCAPES` where the loop decodes: 0.1 ms."""

TAKING_APART = 2
"""Threads that take large batches apart. Python runs in one at a time; the second is for hashing and copying."""

WAITING_BATCHES = 64
"""Large batches that wait for one of them. Each holds a body in memory; the next one is told to come back."""

LISTED_AT_ONCE = 500
"""Members whose list is written on the event loop: about 1 ms."""

WAITING_LISTS = 64
"""Longer lists that wait to be written."""

SMALL_BODY = 8 * 1024
"""Bytes of a body of the JSON API that names one thing."""

HOPS = 20
"""Addresses of X-Forwarded-For that are looked at, from the end. Two proxies are usual, a private network has five."""

WRITTEN_AT_ONCE = 200
"""Things whose list the event loop makes and writes for the JSON API: about 2 ms."""

WRITTEN_IN_ONE_GO = 500
"""Things of a longer list that a thread writes before others get their turn: about 1 ms."""

AUTHORIZATION = 4 * 1024
"""Bytes of an Authorization header that is looked at: the longest token that can exist needs 400."""

SPELLING = 512
"""Bytes of an Authorization header that is remembered as it was spelled."""

TOKENS = 2_000
"""Good tokens remembered at a time, each for two seconds. With SPELLING this is 2 MiB at most."""

SESSIONS = 100
"""Sessions of one user. Some clients log in for every call and never end a session; the oldest make room."""

LOGINS_WAITING = 16
"""Log-ins that wait for one that is verified. At 0.1 to 0.3 s each, the last one waits for some 4 s."""

PATH = 1024
"""Characters of a path of the JSON API. The longest has a batch's id in it, and the router remembers a thousand."""

READINGS = 32
"""Lists that are made for the JSON API at one time, one for each token: each may hold 50,000 members."""

WAITING_READINGS = 32
"""Lists for which one token waits, e.g. of a page that shows many; the next one is told to come back."""

INQUIRIES = 8
"""Questions `why` that are answered at one time, one for each token: each asks every server."""

WAITING_INQUIRIES = 8
"""Such questions of one token that wait; the next one is told to come back."""
