"""TLS on loopback with certificates of the moment, and a record of who connected."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Listener:
    """``connections`` counts what was accepted, with TLS or without."""

    port: int
    connections: int = 0


def make_certificate(folder: Path, *, host: str = "localhost", days: int = 90) -> tuple[Path, Path]:
    """A self-signed certificate for the host that ends in so many days, and the file with its key as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Authority"), x509.NameAttribute(NameOID.COMMON_NAME, host)]
    )
    ends = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=365))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, both = folder / "certificate.pem", folder / "both.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + public.read_bytes())
    return public, both


@contextmanager
def listening(chain: Path | None) -> Iterator[Listener]:
    """Accept and shake hands; without a certificate accept and stay silent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if chain is not None:
        context.load_cert_chain(chain)
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server.getsockname()[1])
        held: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    accepted, _ = server.accept()
                    listener.connections += 1
                    held.append(accepted)
                    if chain is not None:
                        with suppress(OSError), context.wrap_socket(accepted, server_side=True) as shaken:
                            shaken.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            # Closing alone does not wake a thread that waits to accept.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for accepted in held:
                accepted.close()
