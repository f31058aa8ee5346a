"""What one Asterisk tells about itself and about the rights of our AMI user: the ground of `plantel check`."""

from collections.abc import Mapping

import msgspec


class Diagnosis(msgspec.Struct, frozen=True):
    """Facts, without judgement. None: the AMI user may not know.

    protocol         version of AMI, from the banner (`5.0.4` is Asterisk 16, `11.0.0` Asterisk 22)
    asterisk         version of Asterisk; needs `write = system` or `reporting`
    reads_system     FullyBooted came, so Shutdown and Reload will, too
    writes_agent     members may be added, removed, paused and given a penalty. From ListCommands, which lists just what
                     the user may do; nothing is tried out
    reads_devices    the state of any phone may be asked for (`write = reporting`). From ListCommands, too
    chan_sip, chan_pjsip    whether the module runs; needs `write = system`, but from AMI 10 (Asterisk 21) on there is
                     no chan_sip
    queues           number of members (of any kind) by queue. Empty where the queue module is not loaded
    """

    protocol: str
    asterisk: str | None
    reads_system: bool
    writes_agent: bool
    reads_devices: bool
    chan_sip: bool | None
    chan_pjsip: bool | None
    queues: Mapping[str, int]
