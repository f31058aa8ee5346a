"""How slow and how faulty everything is at the moment."""

import random


class Weather:
    """Fair: things take a moment, and what is cut off stays undone. Otherwise any of them may take long."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.fair = True

    def seconds(self) -> float:
        """What one thing takes."""
        return 0.001 if self.fair else self._draw.choice((0.0, 0.001, 0.01, 0.1, 1.5))

    def aftermath(self) -> float | None:
        """How long after the end of a connection Asterisk carries out what it was sent; None: never."""
        return None if self.fair else self._draw.choice((None, 0.0, 0.5, 4.0))
