"""Images on web servers, for those who allow it: only from addresses that may be reached, and with no credentials.

The address is checked on every connection, after names are resolved: a redirect, or a name that resolves to another
address the second time, gets no further than the first would.
"""

import socket
from ipaddress import ip_address, ip_network
from typing import Any, cast

import aiohttp
from fsspec.asyn import get_loop, sync

from artimuse.configs.limits import HttpAccess
from artimuse.io.retries import FinalAnswer, Silent, describe, whole, with_retries
from artimuse.io.store import TooLarge

MAX_REDIRECTS = 5
TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=10, sock_read=30)

_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}


class RefusedByServer(FinalAnswer, OSError):
    """A status that another attempt would not change."""


def is_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def read_http(url: str, access: HttpAccess | None, *, max_bytes: int) -> bytes:
    """Raises PermissionError without access, for a refused address, and for 401 and 403; else as `Store.read`."""
    if access is None:
        raise PermissionError("http(s) URLs are fetched with --allow-http only")
    return with_retries(lambda: cast(bytes, sync(get_loop(), _read, url, access, max_bytes)))


async def _read(url: str, access: HttpAccess, max_bytes: int) -> bytes:
    # A session of its own: nothing of one server, neither cookies nor a connection, reaches another.
    connector = aiohttp.TCPConnector(socket_factory=lambda info: _socket_to(info, access))
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        timeout=TIMEOUT,
        trust_env=False,
    ) as session:
        try:
            async with session.get(url, max_redirects=MAX_REDIRECTS) as response:
                _check_status(response)
                return await _body(response, max_bytes)
        except aiohttp.ClientConnectorDNSError as error:
            if error.os_error.errno in _NO_SUCH_NAME:
                raise RefusedByServer(f"no such host: {error.host}") from error
            raise Silent(f"the name of the host cannot be looked up: {error.host}") from error
        except TimeoutError as error:
            raise Silent(describe(error)) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PermissionError):
                raise error.os_error from error
            raise
        except (aiohttp.InvalidURL, aiohttp.TooManyRedirects) as error:
            raise RefusedByServer(f"{type(error).__name__}: {error}") from error


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = f"HTTP {response.status} {response.reason or ''}".strip()
    if response.status == 200:
        return
    if response.status in (404, 410):
        raise FileNotFoundError(status)
    if response.status in (401, 403, 407, 451):
        raise PermissionError(status)
    raise OSError(status) if response.status in _MAY_PASS else RefusedByServer(status)


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    num_bytes = response.content_length
    if num_bytes is not None and num_bytes > max_bytes:
        raise TooLarge(num_bytes)
    data = bytearray()
    # Not every server tells the length, and a compressed body grows.
    async for chunk in response.content.iter_chunked(2**16):
        data += chunk
        if len(data) > max_bytes:
            raise TooLarge(len(data))
    is_as_sent = num_bytes is not None and "Content-Encoding" not in response.headers
    return whole(bytes(data), num_bytes) if is_as_sent and num_bytes is not None else bytes(data)


def _socket_to(info: Any, access: HttpAccess) -> socket.socket:
    """Raises PermissionError for an address that is not public, unless it lies in one of the networks allowed."""
    family, kind, protocol, _, peer = info
    address = ip_address(peer[0].partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    is_allowed = any(address in ip_network(network) for network in access.networks)
    if not is_allowed and (not address.is_global or address.is_multicast):
        raise PermissionError(f"{address} is not a public address; --http-networks may allow it")
    return socket.socket(family, kind, protocol)
