"""Sends deliveries continuously during faults and records which were acknowledged."""

import http.client
import signal
import threading
import time
from contextlib import closing

import psutil

from tests.faults.web_server import SECRET
from tests.support.factories import body, status
from webhook_app.whatsapp.receiving.signature import sign


def post(port: int, raw: bytes) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", "/webhook", raw, {"X-Hub-Signature-256": sign(raw, SECRET)})
        return connection.getresponse().status


class Sender:
    """Sends until stopped, repeats what was not answered 200, and records what was."""

    def __init__(self, port: int, name: str) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        self._port, self._name = port, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        serial = 0
        while not self._stop.is_set():
            message_id = f"wamid.{self._name}.{serial}"
            try:
                answer = post(self._port, body(status(message_id, "sent", 1_793_000_000 + serial)))
            except (OSError, http.client.HTTPException):
                answer = 0
            if answer == 200:
                self.acknowledged.append(message_id)
                serial += 1
            else:
                self.refused += 1
                assert answer in (0, 503)
                time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def kill_all(postmaster: int | None) -> None:
    """Kill a postmaster and every backend at once, as a power cut would."""
    process = psutil.Process(postmaster)
    family = [process, *process.children(recursive=True)]
    for each in family:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)
