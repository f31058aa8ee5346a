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

PROBLEMS = 1_000
"""Problems of one batch that are kept and told one by one; the others are counted. Nobody mends more in one go."""

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
