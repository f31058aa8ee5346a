"""How long named functions and coroutines take by themselves, without the named ones that they call."""

import functools
import inspect
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

import msgspec

from bench.measure import BenchFailed


class Stage(msgspec.Struct, frozen=True):
    """What counts as one: attributes of a class or module."""

    name: str
    owner: Any
    attributes: Sequence[str]


class Spent(msgspec.Struct):
    """Seconds by the clock, and of the processor. What waits for another thread, or for the disk, is in the first."""

    wall: float = 0.0
    processor: float = 0.0


class Stopwatch:
    """Watches within its `with` block. Of a coroutine it counts the steps, not the waits between them."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        """Raises BenchFailed where an owner has no such attribute: the path has changed, so its stages have to."""
        self._stages = stages
        self._patches = ExitStack()
        self._own = threading.local()
        self._spent = {stage.name: Spent() for stage in stages}
        self._counting = threading.Lock()
        for stage in stages:
            if missing := [name for name in stage.attributes if not hasattr(stage.owner, name)]:
                raise BenchFailed(f"{stage.owner} has no {', '.join(missing)} any more: say where the path goes now")

    def __enter__(self) -> Self:
        for stage in self._stages:
            for name in stage.attributes:
                timed = self._timed(stage.name, getattr(stage.owner, name))
                self._patches.enter_context(patch.object(stage.owner, name, timed))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def take(self) -> dict[str, Spent]:
        """What was spent by each stage since the last time."""
        with self._counting:
            spent, self._spent = self._spent, {name: Spent() for name in self._spent}
        return spent

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def stepped(*arguments: Any, **named: Any) -> Any:
                return await _Steps(self, stage, function(*arguments, **named))

            return stepped

        @functools.wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            self.begin()
            try:
                return function(*arguments, **named)
            finally:
                self.end(stage)

        return called

    def begin(self) -> None:
        """Enter a stage in this thread."""
        frames: list[_Frame] = self._own.__dict__.setdefault("frames", [])
        frames.append(_Frame(time.perf_counter(), time.thread_time()))

    def end(self, stage: str) -> None:
        """Leave it."""
        frames: list[_Frame] = self._own.frames
        frame = frames.pop()
        wall, processor = time.perf_counter() - frame.began, time.thread_time() - frame.began_processor
        if frames:
            frames[-1].others.wall += wall
            frames[-1].others.processor += processor
        with self._counting:
            spent = self._spent[stage]
            spent.wall += wall - frame.others.wall
            spent.processor += processor - frame.others.processor


class _Frame:
    """A stage under way in a thread."""

    __slots__ = ("began", "began_processor", "others")

    def __init__(self, began: float, began_processor: float) -> None:
        self.began = began
        self.began_processor = began_processor
        self.others = Spent()
        """By the stages within it."""


class _Steps:
    """Awaits a coroutine, with the watch running whenever the coroutine is."""

    def __init__(self, watch: Stopwatch, stage: str, coroutine: Any) -> None:
        self._watch = watch
        self._stage = stage
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._coroutine.send, None
        while True:
            self._watch.begin()
            try:
                awaited = step(value)
            except StopIteration as done:
                return done.value
            finally:
                self._watch.end(self._stage)
            try:
                step, value = self._coroutine.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001 - a cancellation is for the coroutine, too
                step, value = self._coroutine.throw, error
