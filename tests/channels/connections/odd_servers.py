"""Servers on loopback that send given bytes: once, slowly without end, or fast without end."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import sleep

Answer = Callable[[socket.socket], None]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """The port of a server that treats one connection after the other by `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        answer(connection)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65_536):  # what is unread at the end could reset the connection
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def sends(connection: socket.socket, begin: bytes, repeated: bytes = b"", pause_s: float = 0.0) -> None:
    """Send `begin`, then `repeated` until the client leaves."""
    connection.sendall(begin)
    while repeated:
        connection.sendall(repeated)
        sleep(pause_s)
