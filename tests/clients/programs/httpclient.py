"""httpclient.py URL TOKEN FILE...: adds the members in each FILE, with http.client and a str for a body."""

import http.client
import sys
from pathlib import Path
from urllib.parse import urlsplit

url, token, *files = sys.argv[1:]
place = urlsplit(url)
connection = http.client.HTTPSConnection(place.netloc, timeout=20)
headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {token}"}
for file in files:
    payload = "queuemember=" + Path(file).read_text(encoding="utf-8")
    connection.request("POST", place.path, payload, headers)
    response = connection.getresponse()
    sys.stdout.buffer.write(response.read() + f" {response.status}\n".encode())
connection.close()
