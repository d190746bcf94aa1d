"""Certificates for the TLS tests: made once in a run, in memory of nothing but their directory."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Certificates:
    """A directory with PEM files: NAME.pem and NAME.key."""

    def __init__(self, directory):
        self.directory = directory
        self.authorities = {}
        self.authority("ca")
        self.authority("other-ca")
        self.issue("server")
        self.issue("server-2")
        self.issue("server-rsa", rsa_key=True)
        self.issue("elsewhere", names=["elsewhere.example"], addresses=[])
        self.issue("expired", begins=-10, ends=-1)
        self.issue("stranger", authority="other-ca")
        self.issue("client", usage=ExtendedKeyUsageOID.CLIENT_AUTH, names=["gateway.example"], addresses=[])
        self.issue("other-client", authority="other-ca", usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def path(self, name):
        return str(self.directory / name)

    def _write(self, name, certificate, key):
        (self.directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.directory / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )

    @staticmethod
    def _name(common_name):
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        )

    def _builder(self, subject, issuer, key, begins, ends):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + ends * DAY)
        )

    def authority(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = self._name(name)
        certificate = (
            self._builder(subject, subject, key, -20, 20)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.authorities[name] = (certificate, key)
        self._write(name, certificate, key)

    def issue(
        self, name, authority="ca", names=("localhost",), addresses=("127.0.0.1",), begins=-1, ends=10, rsa_key=False,
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
    ):
        signer, signer_key = self.authorities[authority]
        key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        alternatives = [x509.DNSName(each) for each in names] + [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        certificate = (
            self._builder(self._name(name), signer.subject, key, begins, ends)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(signer_key, hashes.SHA256())
        )
        self._write(name, certificate, key)

    def files(self, name, authority=None):
        """`cert_file` and `key_file` for a tls block, and `ca_file`."""
        lines = [f'cert_file: "{self.path(name + ".pem")}"', f'key_file: "{self.path(name + ".key")}"'] if name else []
        if authority:
            lines.append(f'ca_file: "{self.path(authority + ".pem")}"')
        return "\n".join(lines) + "\n"
