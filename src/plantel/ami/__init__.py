"""One Asterisk, over the Asterisk Manager Interface: `AmiSwitch` is the `ports.Switch` of the real thing."""

from plantel.ami.client import Deadlines, Endpoint
from plantel.ami.diagnosis import Diagnosis
from plantel.ami.switch import AmiSwitch

__all__ = ["AmiSwitch", "Deadlines", "Diagnosis", "Endpoint"]
