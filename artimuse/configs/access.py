"""The options for web servers, of every verb that reads images of a finished table."""

from dataclasses import dataclass

import tyro

from artimuse.configs.limits import HttpAccess


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Which web servers images are fetched from."""

    allow_http: tyro.conf.FlagCreatePairsOff[bool] = False
    """Fetch http(s) URIs, from hosts with public addresses."""
    http_networks: str = ""
    """Networks that --allow-http may also reach, such as 10.1.0.0/16, separated by commas."""

    @property
    def http_access(self) -> HttpAccess | None:
        """None unless allowed. Raises ValueError for what is no network, and for networks without --allow-http."""
        return http_access(allow_http=self.allow_http, http_networks=self.http_networks)


def http_access(*, allow_http: bool, http_networks: str) -> HttpAccess | None:
    """What the two options allow: None for nothing. Raises ValueError as `AccessOptions.http_access`."""
    networks = tuple(network.strip() for network in http_networks.split(",") if network.strip())
    if networks and not allow_http:
        raise ValueError("--http-networks needs --allow-http")
    return HttpAccess(networks=networks) if allow_http else None
