"""Put agents into campaigns from another program, over the published wire call.

    with Integra("https://integra.example.com", token=token) as integra:
        integra.add([Member("Ventas->", "José Ñandú", "PJSIP/1001", penalty=1)])

`Integra` blocks, `AsyncIntegra` awaits; both speak to Plantel and to the original product, over HTTP/2 where the server
does. Errors are `plantel.errors.ClientError` and its kin. Nothing of the server is needed or imported here.
"""

from plantel.client.integra import AsyncIntegra, Integra
from plantel.client.retry import Retry
from plantel.client.wire import Stored, Warned, check
from plantel.roster import Member

__all__ = ["AsyncIntegra", "Integra", "Member", "Retry", "Stored", "Warned", "check"]
