"""raw.py URL TOKEN FILE...: adds the members in each FILE, over a bare TLS socket.

The bytes are those of the published raw request: JSON as it is, in UTF-8, with the length that it really has.
"""

import socket
import ssl
import sys
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

url, token, *files = sys.argv[1:]
place = urlsplit(url)
host, port = place.hostname or "", place.port or 443
context = ssl.create_default_context()
for file in files:
    body = b"queuemember=" + Path(file).read_bytes()
    head = (
        f"POST {place.path} HTTP/1.1\r\n"
        f"Host: {place.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Authorization: Basic {token}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "\r\n"
    )
    with (
        socket.create_connection((host, port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        secured.sendall(head.encode("ascii") + body)
        with HTTPResponse(secured, method="POST") as response:
            response.begin()
            sys.stdout.buffer.write(response.read() + f" {response.status}\n".encode())
