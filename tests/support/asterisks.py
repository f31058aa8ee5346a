"""The versions of Asterisk that every proof is made on."""

from collections.abc import Callable, Mapping

from plantel.testing.installation import Installation, asterisk_22, own_installation

VERSIONS: Mapping[str, Callable[[], Installation]] = {"16": own_installation, "22": asterisk_22}
