"""Checks the client address and client certificate of a delivery, as reported by the network and trusted proxies.

Both checks are optional and run before the signature check, which is the actual proof. Reads no body.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from webhook_app.whatsapp.receiving.client_certificate import is_meta

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAX_HOPS = 20
"""Behind so many proxies the address is unknown."""


class Origin:
    """The allowed client addresses and certificate of deliveries."""

    def __init__(self, allowed: Sequence[Network], proxies: Sequence[Network], subject_header: str) -> None:
        self._allowed, self._proxies = allowed, proxies
        self._subject_key = "HTTP_" + subject_header.upper().replace("-", "_") if subject_header else ""

    @property
    def is_open(self) -> bool:
        """Whether no check is configured."""
        return not self._allowed and not self._subject_key

    def fault(self, environ: Mapping[str, Any]) -> str:
        """The failed check of a request: `address`, `certificate`, or empty."""
        if self._allowed:
            client = client_address(environ, self._proxies)
            if client is None or not _within(client, self._allowed):
                return "address"
        if self._subject_key:
            peer = read_address(environ.get("REMOTE_ADDR", ""))
            from_proxy = peer is not None and _within(peer, self._proxies)
            if not (from_proxy and is_meta(environ.get(self._subject_key, ""))):
                return "certificate"
        return ""


def client_address(environ: Mapping[str, Any], proxies: Sequence[Network]) -> Address | None:
    """The nearest address that is not a trusted proxy. The ones before it could be forged."""
    address = read_address(environ.get("REMOTE_ADDR", ""))
    forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
    hops = forwarded_for.rsplit(",", _MAX_HOPS) if forwarded_for else []
    while address is not None and hops and _within(address, proxies):
        address = read_address(hops.pop())
    return address


def read_address(text: str) -> Address | None:
    """Parse an address as proxies write it, with or without port or brackets; None when it is not one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
