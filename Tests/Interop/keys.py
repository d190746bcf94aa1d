"""Keys and tokens (nkeys and JWTs) for tests, as nats-server's own tools make them."""

import base64
import json
import os
import time

import nkeys


def new_key(prefix):
    """A key pair of a kind: nkeys.PREFIX_BYTE_OPERATOR, _ACCOUNT or _USER."""
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


class Key:
    def __init__(self, prefix):
        self.pair = new_key(prefix)
        self.public = self.pair.public_key.decode()
        self.seed = self.pair.seed.decode()

    def sign(self, text):
        return base64.urlsafe_b64encode(self.pair.sign(text.encode())).rstrip(b"=").decode()


def operator_key():
    return Key(nkeys.PREFIX_BYTE_OPERATOR)


def account_key():
    return Key(nkeys.PREFIX_BYTE_ACCOUNT)


def user_key():
    return Key(nkeys.PREFIX_BYTE_USER)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(kind, subject, issuer, nats=None, version=2, **claims):
    """A JWT about `subject` (a Key or a public key), signed by `issuer`."""
    body = {"jti": "X", "iat": int(time.time()), "iss": issuer.public, "sub": getattr(subject, "public", subject), "name": kind, **claims}
    if version == 2:
        body["nats"] = {"type": kind, "version": 2, **(nats or {})}
        head = part({"typ": "JWT", "alg": "ed25519-nkey"})
        signed = f"{head}.{part(body)}"
        return f"{signed}.{issuer.sign(signed)}"
    body |= {"type": kind, "nats": nats or {}}
    head, payload = part({"typ": "jwt", "alg": "ed25519"}), part(body)
    return f"{head}.{payload}.{issuer.sign(payload)}"


UNLIMITED = {"subs": -1, "data": -1, "payload": -1}


def user_token(user, issuer, version=2, limits=True, issuer_account=None, **nats):
    """A user's JWT; members of claims that are no part of `nats` are given as exp=, nbf=, iat=, name=, tags=."""
    outside = ("exp", "nbf", "iat", "name") + (("tags",) if version == 1 else ())
    claims = {name: nats.pop(name) for name in outside if name in nats}
    if issuer_account:
        (claims if version == 1 else nats)["issuer_account"] = issuer_account
    base = {**UNLIMITED, "pub": {}, "sub": {}} if limits else {"pub": {}, "sub": {}}
    return token("user", user, issuer, {**base, **nats}, version, **claims)


def account_token(account, issuer, version=2, limits=None, name="ACC", exp=None, **nats):
    """An account's JWT without limits but those given."""
    base = {**UNLIMITED, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    return token("account", account, issuer, {"limits": {**base, **(limits or {})}, **nats}, version, name=name, **({"exp": exp} if exp else {}))


def operator_token(operator, version=2, **nats):
    return token("operator", operator, operator, nats, version)


def creds(jwt, user):
    """The text of a credentials file."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


class Operator:
    """An operator with its accounts, and the configuration of a server that trusts it."""

    def __init__(self, version=2, **nats):
        self.key = operator_key()
        self.system = account_key()
        self.version = version
        self.jwt = operator_token(self.key, version, **nats)
        self.accounts = {}
        self.add(self.system, name="SYS")

    def add(self, account, issuer=None, **options):
        self.accounts[account.public] = account_token(account, issuer or self.key, self.version, **options)
        return account

    def config(self, system=True):
        preload = "\n".join(f'  {key}: "{jwt}"' for key, jwt in self.accounts.items())
        lines = [f'operator: "{self.jwt}"', "resolver: MEMORY", f"resolver_preload {{\n{preload}\n}}"]
        if system:
            lines.append(f"system_account: {self.system.public}")
        return "\n".join(lines) + "\n"
