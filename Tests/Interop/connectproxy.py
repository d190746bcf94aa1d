"""A small HTTP proxy that does one thing: tunnels by CONNECT, as proxies at the edge of company networks do."""

import base64
import socket
import threading


class ConnectProxy:
    """Tunnels to wherever it is asked. `credentials` ("user:password") are wanted then; `answer` is given instead of a tunnel."""

    def __init__(self, credentials=None, answer=None, greeting=b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"):
        self.credentials = credentials
        self.answer = answer
        self.greeting = greeting
        # (target, head of the request) of every request; targets of tunnels that were made.
        self.requests = []
        self.tunnels = []
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut()

    def cut(self):
        """Ends every tunnel."""
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                self._tunnel(client)
            except OSError:
                pass

    def _tunnel(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.requests.append((target, head.decode()))
        if method != "CONNECT":
            return client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        wanted = self.credentials and "Proxy-Authorization: Basic " + base64.b64encode(self.credentials.encode()).decode()
        if wanted and wanted not in head.decode().split("\r\n"):
            return client.sendall(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n')
        if self.answer is not None:
            client.sendall(self.answer)
            # A proxy that says nothing keeps the connection.
            return client.recv(1) if not self.answer else None
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), 5) as server:
            self.sockets.append(server)
            client.sendall(self.greeting)
            self.tunnels.append(target)
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
