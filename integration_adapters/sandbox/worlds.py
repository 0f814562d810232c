"""The simulated providers: one world for each provider and tenant, found beside the adapter in its folder."""

from __future__ import annotations

import importlib
import secrets
import threading
from dataclasses import dataclass, field

from providers import registry
from providers.simulation import SimulatedAnswer, SimulatedDelivery, Simulator

TENANTS = ("acme", "globex")


@dataclass(slots=True)
class World:
    """One tenant's account at one provider. Simulators know no threads, so one call at a time."""

    simulator: Simulator
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        with self.lock:
            return self.simulator.handle(method, path, query, headers, body)

    def tick(self) -> list[SimulatedDelivery]:
        with self.lock:
            return self.simulator.tick()


def simulator_class(slug: str) -> type[Simulator] | None:
    """The simulator in the adapter's folder, or ``None`` if it has none."""
    name = f"{type(registry.get(slug)).__module__.rpartition('.')[0]}.simulator"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    found: type[Simulator] = module.Simulator
    return found


def simulated_slugs() -> list[str]:
    """Providers of the demonstration: those with a simulator, without the teaching one."""
    return [slug for slug in registry.slugs() if not registry.get(slug).development_only and simulator_class(slug)]


def base_url(sandbox_url: str, slug: str, tenant_id: str) -> str:
    """Where the tenant's account at the simulated provider is served."""
    return f"{sandbox_url.rstrip('/')}/{slug}/{tenant_id}"


def build(slugs: list[str], *, faults: bool) -> dict[tuple[str, str], World]:
    """A world for each provider and tenant, different for each and at every start: what it tells is new."""
    worlds = {}
    for slug in slugs:
        simulator = simulator_class(slug)
        if simulator is None:
            raise LookupError(f"{slug} has no simulator")
        for tenant_id in TENANTS:
            worlds[slug, tenant_id] = World(simulator(seed=secrets.randbits(32), faults=faults))
    return worlds
