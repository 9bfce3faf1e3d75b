"""Python's http.client on one connection, or urllib with a connection for each request."""

import http.client
import sys
import urllib.parse
import urllib.request

base, name, kind = sys.argv[1:]
JSON = b'{"n":1}'
HEADERS = {"Content-Type": "application/json"}
connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=20)


def ask(method, path, body=None):
    if kind == "http.client":
        connection.request(method, path, body, HEADERS)
        response = connection.getresponse()
    else:
        request = urllib.request.Request(base + path, body, HEADERS, method=method)
        response = urllib.request.urlopen(request, timeout=20)
    print(method, path, response.status, response.headers.get("x-cache", "-"), response.read().decode())


ask("GET", f"/hot/{name}")
ask("GET", f"/hot/{name}")
ask("GET", f"/cold/{name}", iter([]) if kind == "http.client" else None)
ask("POST", f"/echo/{name}", JSON)
ask("POST", f"/echo/{name}", iter([JSON]))
ask("POST", f"/read/{name}", JSON)
ask("POST", f"/read/{name}", iter([JSON]))
ask("HEAD", f"/hot/{name}")
