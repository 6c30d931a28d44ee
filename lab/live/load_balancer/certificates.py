"""The lab's certificate authority, and certificates for the names that TLS listeners are asked for.

Made once, kept under STATE/certificates (the key with mode 0600); trust `ca.pem` to have no warnings:
`curl --cacert .lab/certificates/ca.pem`. A listener's certificate ARN is only recorded: whatever name of its own a
client asks for by SNI, a listener has a certificate for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 365
LEAVES_MAX = 256


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


class CertificateAuthority:
    """The authority of one instance of the lab, in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Read the authority, or make it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
        if not (self.certificate_path.exists() and key_path.exists()):
            self._make(key_path)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def _make(self, key_path: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "multi-region-lab (this machine only)")])
        certificate = (
            _builder(name, name, CA_DAYS)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_private(key_path, _key_bytes(key))
        self.certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate for one name or address, and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        certificate = (
            _builder(subject, self._certificate.subject, LEAF_DAYS)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_key_usage(ca=False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _key_bytes(key)


def _builder(subject: x509.Name, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


class ServerContexts:
    """TLS contexts by server name, for one port. A name that `allows` refuses gets the default name's certificate."""

    def __init__(self, authority: CertificateAuthority, default: str, allows: Callable[[str], bool]) -> None:
        self._authority, self._allows = authority, allows
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._default = default
        self.context = self._make(default)
        self.context.sni_callback = self._on_name

    def _on_name(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        chosen = self._contexts.get(name)
        if chosen is None and self._allows(name):
            while len(self._contexts) >= LEAVES_MAX:
                del self._contexts[next(iter(self._contexts))]
            chosen = self._contexts[name] = self._make(name)
        if chosen is not None:
            connection.context = chosen

    def name_of(self, connection: ssl.SSLObject) -> str:
        """The name of the certificate that a connection was given."""
        names = (name for name, context in self._contexts.items() if context is connection.context)
        return next(names, self._default)

    def _make(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        certificate, key = self._authority.issue(name)
        with tempfile.NamedTemporaryFile() as file:  # ssl reads certificates from files only; mode 0600, gone at once
            file.write(certificate + key)
            file.flush()
            context.load_cert_chain(file.name)
        return context
