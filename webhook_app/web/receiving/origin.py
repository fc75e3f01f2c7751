"""Where a delivery comes from, as the network and a trusted proxy tell: its address and its client certificate.

Both checks are optional and come before the signature, which alone is proof. Reads no body.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from webhook_app.whatsapp.receiving.client_certificate import is_meta

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Origin:
    """Who may deliver. `fault` of a request's environment says why not: address, certificate, or nothing."""

    def __init__(self, allowed: Sequence[Network], proxies: Sequence[Network], subject_header: str) -> None:
        self._allowed, self._proxies = allowed, proxies
        self._subject_key = "HTTP_" + subject_header.upper().replace("-", "_") if subject_header else ""

    @property
    def is_open(self) -> bool:
        """Whether everybody may deliver, so that nobody need be asked."""
        return not self._allowed and not self._subject_key

    def fault(self, environ: Mapping[str, Any]) -> str:
        """address, certificate, or empty when there is no fault."""
        peer = read_address(environ.get("REMOTE_ADDR", ""))
        if self._allowed:
            client = self._client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            if client is None or not _within(client, self._allowed):
                return "address"
        if self._subject_key:
            told_by_proxy = peer is not None and _within(peer, self._proxies)
            if not (told_by_proxy and is_meta(environ.get(self._subject_key, ""))):
                return "certificate"
        return ""

    def _client(self, peer: Address | None, forwarded_for: str) -> Address | None:
        """The nearest address that is no proxy of ours. What stands before it, anybody could have written."""
        address = peer
        hops = forwarded_for.split(",") if forwarded_for else []
        while address is not None and hops and _within(address, self._proxies):
            address = read_address(hops.pop())
        return address


def read_address(text: str) -> Address | None:
    """An address as proxies write it, with or without port, brackets or zone; None when it is none."""
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
