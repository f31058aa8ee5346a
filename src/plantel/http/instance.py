"""One customer as the HTTP side sees it."""

from typing import NamedTuple

from plantel.delivery import Delivery
from plantel.http.auth import Authenticator
from plantel.service import Service


class Instance(NamedTuple):
    """Everything that a request of this instance may touch; nothing of another."""

    name: str
    service: Service
    authenticator: Authenticator
    delivery: Delivery
