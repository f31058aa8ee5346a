"""The same job as it is usually written: Flask, SQLAlchemy, panoramisk. A peer, to be run by gunicorn.

What it leaves out is left out by most: a member who is there already keeps the old penalty, what Asterisk refuses is
only logged, nothing is delivered again, and nothing tells who changed what.

    BENCH_DATABASE  BENCH_AMI_PORT  BENCH_AMI_USER  BENCH_AMI_SECRET  BENCH_TOKEN       in the environment

panoramisk waits for ever for the end of a list where Asterisk says `Added interface to queue`, unless it is told that
the answer is none (`as_list=False`).
"""

import asyncio
import json
import os
import secrets
import threading
from functools import cache
from typing import Any

from flask import Flask, request
from panoramisk import Manager
from sqlalchemy import String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_PATIENCE = 60.0
"""Seconds for all members of a request."""


class _Base(DeclarativeBase):
    pass


class _Member(_Base):
    __tablename__ = "queue_members"

    queue_name: Mapped[str] = mapped_column(String(80), primary_key=True)
    interface: Mapped[str] = mapped_column(String(80), primary_key=True)
    membername: Mapped[str] = mapped_column(String(80))
    penalty: Mapped[int]
    paused: Mapped[int]


engine = create_engine(os.environ["BENCH_DATABASE"])
_Base.metadata.create_all(engine)

app = Flask(__name__)
app.config["MAX_FORM_MEMORY_SIZE"] = None  # half a megabyte by default: 5,000 members would be refused


@cache
def _ami() -> tuple[asyncio.AbstractEventLoop, Any]:
    """This worker's connection, and the loop, in a thread of its own, that it lives in."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    manager = Manager(
        loop=loop,
        host="127.0.0.1",
        port=int(os.environ["BENCH_AMI_PORT"]),
        username=os.environ["BENCH_AMI_USER"],
        secret=os.environ["BENCH_AMI_SECRET"],
    )
    ready = threading.Event()
    manager.on_login = lambda _: ready.set()
    loop.call_soon_threadsafe(manager.connect)
    if not ready.wait(10):
        raise TimeoutError("no AMI")
    return loop, manager


async def _deliver(manager: Any, items: list[dict[str, str]]) -> None:
    for item in items:
        answer = await manager.send_action(
            {
                "Action": "QueueAdd",
                "Queue": item["queueName"],
                "Interface": item["interface1"],
                "MemberName": item["membername"],
                "Penalty": item["penalty"],
                "Paused": item["paused"],
            },
            as_list=False,
        )
        if not answer.success:
            app.logger.warning("%s: %s", item, answer.message)


def add() -> tuple[str, int]:
    """Store, deliver, answer `1`."""
    if not secrets.compare_digest(request.headers.get("Authorization", ""), f"Basic {os.environ['BENCH_TOKEN']}"):
        return "0", 401
    items = json.loads(request.form["queuemember"])
    with Session(engine) as session:
        for item in items:
            session.merge(
                _Member(
                    queue_name=item["queueName"],
                    interface=item["interface1"],
                    membername=item["membername"],
                    penalty=int(item["penalty"]),
                    paused=int(item["paused"]),
                )
            )
        session.commit()
    loop, manager = _ami()
    asyncio.run_coroutine_threadsafe(_deliver(manager, items), loop).result(_PATIENCE)
    return "1", 200


app.add_url_rule("/Integra/resources/queues/addqueuemember", view_func=add, methods=["POST"])
