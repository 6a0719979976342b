"""How names are reached, and which addresses are never connected to.

Three gates, because each can be walked around alone: literal addresses in a URL are looked at
before a request (`refused_literal`), addresses that a name resolves to when it is looked up, and
the address of each socket at the moment it is made, whatever led to it (RFC 1918, RFC 6890;
server-side request forgery, DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from gristmill.core.errors import GristmillError

Lookup = Callable[[str], Awaitable[list[str]]]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Ranges that carry an IPv4 address inside (NAT64, 6to4, Teredo, the deprecated compatible form):
# what they reach depends on the network that one is in.
_EMBEDDING: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10")
)
_SHARED = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("192.88.99.0/24"))


class AddressRefused(OSError):
    """The address is private, loopback, link-local, multicast or reserved."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in network for network in _EMBEDDING):
            return False
    elif any(ip in network for network in _SHARED):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


@lru_cache(maxsize=1 << 12)
def is_address(host: str) -> bool:
    """Whether a host is an address, not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class HostMap:
    """`{"*.example": "127.0.0.1:8000"}`: names that are reached at an address of the user's choice.

    The exact name wins over a pattern, a longer pattern over a shorter one. Raises GristmillError
    for a value that is not ip:port.
    """

    def __init__(self, patterns: Mapping[str, str]):
        self._exact: dict[str, tuple[str, int]] = {}
        self._suffixes: list[tuple[str, tuple[str, int]]] = []
        for pattern, value in patterns.items():
            target = _target(pattern, value)
            if pattern.startswith("*."):
                self._suffixes.append((pattern[1:].lower(), target))
            else:
                self._exact[pattern.lower()] = target
        self._suffixes.sort(key=lambda item: -len(item[0]))
        self.targets = frozenset([*self._exact.values(), *(t for _, t in self._suffixes)])

    def get(self, host: str) -> tuple[str, int] | None:
        """(address, port) of a mapped name, else None."""
        host = host.lower()
        if host in self._exact:
            return self._exact[host]
        for suffix, target in self._suffixes:
            if host.endswith(suffix):
                return target
        return None


def _target(pattern: str, value: str) -> tuple[str, int]:
    address, _, port = value.rpartition(":")
    address = address.strip("[]")
    if not is_address(address) or not port.isdigit() or not 0 < int(port) < 65536:
        raise GristmillError(
            f"'{value}' is no address with a port",
            where=f"resolve.{pattern}",
            mend="write it as 127.0.0.1:8000",
        )
    return address, int(port)


class Resolver(AbstractResolver):
    """Looks names up: mapped ones in the map, others in the DNS, keeping public addresses only."""

    def __init__(self, hosts: HostMap, lookup: Lookup | None = None):
        self._hosts = hosts
        self._lookup = lookup or _system_lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises AddressRefused where it has none that is public."""
        target = self._hosts.get(host)
        if target is not None:
            return [_result(host, *target)]
        addresses = await self._lookup(host)
        public = [address for address in addresses if is_public(address)]
        if not addresses:
            raise OSError(f"{host} has no address")
        if not public:
            raise AddressRefused(f"{host} resolves to {addresses[0]}, which is not public")
        return [_result(host, address, port) for address in public]

    async def close(self) -> None:
        """Nothing is held open."""

    def refused_literal(self, host: str) -> bool:
        """Whether the host of a URL is itself an address that is not to be connected to."""
        return is_address(host) and not is_public(host) and self._hosts.get(host) is None

    def make_socket(self, info: Any) -> socket.socket:
        """The socket for one address that is about to be connected; the last gate."""
        family, kind, protocol, _, address = info
        if not is_public(address[0]) and (address[0], address[1]) not in self._hosts.targets:
            raise AddressRefused(f"{address[0]} is not public")
        return socket.socket(family, kind, protocol)


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


async def _system_lookup(host: str) -> list[str]:
    infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
