"""A passkey in software: registers and signs in as a browser's would."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from allauth.account.utils import user_pk_to_url_str
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from backfuture.accounts.models import User

SITE = "testserver"
FLAG = AuthenticatorData.FLAG
XHR = {"X-Requested-With": "XMLHttpRequest"}


class Passkey:
    """`register` with a session that may add one, then `sign_in` from any browser."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.id = secrets.token_bytes(16)
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.count = 0

    def register(self, client: Client) -> Any:
        page = client.get("/accounts/2fa/webauthn/add/")
        options = page.context["js_data"]["creation_options"]
        collected = self._collected("webauthn.create", options)
        public = ES256.from_cryptography_key(self.private.public_key())
        about = AttestedCredentialData.create(b"\0" * 16, self.id, public)
        made = AttestationObject.create("none", self._data(FLAG.AT, about), {})
        answer = self._answer(collected, attestationObject=websafe_encode(bytes(made)))
        answer["clientExtensionResults"] = {"credProps": {"rk": True}}
        return self._send(client, "/accounts/2fa/webauthn/add/", answer)

    def sign_in(self, client: Client) -> Any:
        options = client.get("/accounts/2fa/webauthn/login/", headers=XHR).json()
        answer = self.proof(options["request_options"])
        return self._send(client, "/accounts/2fa/webauthn/login/", answer)

    def confirm(self, client: Client) -> Any:
        page = client.get("/accounts/2fa/webauthn/reauthenticate/")
        answer = self.proof(page.context["js_data"]["request_options"])
        return self._send(client, "/accounts/2fa/webauthn/reauthenticate/", answer)

    def proof(self, options: Any) -> dict[str, Any]:
        collected = self._collected("webauthn.get", options)
        data = self._data()
        signed = bytes(data) + hashlib.sha256(bytes(collected)).digest()
        return self._answer(
            collected,
            authenticatorData=websafe_encode(bytes(data)),
            signature=websafe_encode(self.private.sign(signed, ec.ECDSA(SHA256()))),
            userHandle=websafe_encode(user_pk_to_url_str(self.user).encode()),
        )

    def _data(self, flag: int = 0, about: bytes = b"") -> AuthenticatorData:
        self.count += 1
        site = hashlib.sha256(SITE.encode()).digest()
        return AuthenticatorData.create(site, FLAG.UP | FLAG.UV | FLAG(flag), self.count, about)

    def _collected(self, kind: str, options: Any) -> CollectedClientData:
        challenge = options["publicKey"]["challenge"]
        return CollectedClientData.create(kind, challenge, f"https://{SITE}")

    def _answer(self, collected: CollectedClientData, **response: str) -> dict[str, Any]:
        name = websafe_encode(self.id)
        response["clientDataJSON"] = websafe_encode(bytes(collected))
        return {"id": name, "rawId": name, "type": "public-key", "response": response}

    def _send(self, client: Client, path: str, answer: dict[str, Any]) -> Any:
        return client.post(path, {"credential": json.dumps(answer), "name": "A key"})
