"""A local HTTP endpoint for container credentials, as good as Python can: connections are kept
alive, answers leave in one packet, a thread serves each connection.

endpoint.py PROCESS_JSON TOKEN
prints its port, then serves the keys of the file to whoever shows the token."""

import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def do_GET(self):
        if not hmac.compare_digest(self.headers.get("Authorization", ""), TOKEN):
            self.send_error(403)
            return
        body = PROCESS if self.path == "/process" else CONTAINER
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


with open(sys.argv[1], encoding="utf-8") as file:
    keys = json.load(file)
TOKEN = sys.argv[2]
PROCESS = json.dumps(keys).encode()
CONTAINER = json.dumps(
    {
        "AccessKeyId": keys["AccessKeyId"],
        "SecretAccessKey": keys["SecretAccessKey"],
        "Token": keys["SessionToken"],
        "Expiration": keys["Expiration"],
    }
).encode()

server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
