"""Outside parties for tests, each a real HTTP server on this machine: a Kubernetes API, a hook, an OpenAI API.

They are simulations, and named so: what they do is written from the parties' documentation, not from ours.
"""

import base64
import copy
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes


Reply = tuple[int, Any]  # status, and an object or bytes
Handle = Callable[[Request], Reply]


@contextmanager
def http_server(handle: Handle, pem: Path | None = None) -> Iterator[str]:
    """Serve ``handle`` on a free port of the loopback interface, by TLS where there is a certificate; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = handle(Request(self.command, parts.path, query, headers, body))
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if pem else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def deployment(name: str = "llm", namespace: str = "serving") -> dict[str, Any]:
    """A Deployment as a cluster shows it, at rest: two replicas that serve."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "generation": 3, "resourceVersion": "100"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [
                        {"name": "sidecar", "image": "sidecar:1"},
                        {
                            "name": "vllm",
                            "image": "vllm/vllm-openai:v0.11.0",
                            "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}],
                        },
                    ]
                },
            },
        },
        "status": {
            "observedGeneration": 3,
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
            "readyReplicas": 2,
        },
    }


class FakeKubernetesApi:
    """An API server with one Deployment, which takes server-side apply and rolls out in a few looks.

    Attributes:
        waiting: the reason that new pods wait for, e.g. ImagePullBackOff; None: they become ready.
        forbidden: verbs that the token has no right to.
        owned: fields that another manager owns.
        looks: looks at the Deployment until a rollout is done.
    """

    def __init__(self, token: str = "token-of-the-service") -> None:
        self.live: dict[str, Any] | None = deployment()
        self.token = token
        self.waiting: str | None = None
        self.progressing = True
        self.forbidden: set[str] = set()
        self.owned: set[str] = set()
        self.looks = 2
        self.version = "v1.34.1"
        self.applied: list[Request] = []
        self.requests: list[Request] = []
        self._left = 0

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if request.path == "/version":
            return 200, {"major": "1", "minor": "34", "gitVersion": self.version}
        verb = {"GET": "get", "PATCH": "patch"}[request.method]
        if request.path.endswith("/pods"):
            return self._pods(request)
        if verb in self.forbidden:
            return 403, {"kind": "Status", "message": f'cannot {verb} resource "deployments" in API group "apps"'}
        if self.live is None or request.path != "/apis/apps/v1/namespaces/serving/deployments/llm":
            return 404, {"kind": "Status", "message": 'deployments.apps "llm" not found'}
        return self._patch(request) if verb == "patch" else self._look()

    def _look(self) -> Reply:
        assert self.live is not None
        if self._left > 0:
            self._left -= 1
            if self._left == 0 and self.waiting is None and self.progressing:
                self.live["status"] |= {"updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}
        return 200, self.live

    def _pods(self, request: Request) -> Reply:
        if "list" in self.forbidden:
            return 403, {"kind": "Status", "message": 'cannot list resource "pods"'}
        assert self.live is not None
        assert request.query["labelSelector"] == "app=llm"
        annotations = self.live["spec"]["template"]["metadata"].get("annotations", {})
        state = {"waiting": {"reason": self.waiting}} if self.waiting else {"running": {}}
        new = {
            "metadata": {"name": "llm-new", "annotations": annotations},
            "status": {"containerStatuses": [{"name": "vllm", "state": state}]},
        }
        # a pod of the version before that has trouble of its own
        old = {
            "metadata": {"name": "llm-old"},
            "status": {"containerStatuses": [{"name": "vllm", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        }
        return 200, {"kind": "PodList", "items": [old, new]}

    def _patch(self, request: Request) -> Reply:
        assert self.live is not None
        if request.headers.get("content-type") != "application/apply-patch+yaml":
            return 415, {"kind": "Status", "message": "the body of the request was in an unknown format"}
        if "fieldManager" not in request.query:
            return 400, {"kind": "Status", "message": "PatchOptions fieldManager: Required value"}
        patch = json.loads(request.body)
        if patch["metadata"].get("managedFields") is not None:
            return 400, {"kind": "Status", "message": "metadata.managedFields must be nil"}
        ours = patch["spec"]["template"]["spec"]["containers"][0]
        if self.owned & set(ours) and request.query.get("force") != "true":
            field = ", ".join(sorted(self.owned & set(ours)))
            return 409, {
                "kind": "Status",
                "message": f'Apply failed with 1 conflict: with "kubectl": .{field}',
            }
        changed = copy.deepcopy(self.live)
        apply_template(changed["spec"]["template"], patch["spec"]["template"])
        if request.query.get("dryRun") == "All":
            return 200, changed
        self.applied.append(request)
        if changed["spec"] != self.live["spec"]:
            changed["metadata"]["generation"] += 1
            self._left = self.looks
            # the controller has seen it and has begun: one new pod beside two old ones
            changed["status"] = {"observedGeneration": changed["metadata"]["generation"], "replicas": 3}
            changed["status"] |= {"updatedReplicas": 1, "availableReplicas": 2}
            if not self.progressing:
                changed["status"]["conditions"] = [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "slow"}
                ]
        self.live = changed
        return 200, self.live


def apply_template(template: dict[str, Any], patch: dict[str, Any]) -> None:
    """What the API server makes of an applied pod template: maps are merged, containers and env by name."""
    annotations = template["metadata"].setdefault("annotations", {})
    annotations |= patch["metadata"]["annotations"]
    for container in patch["spec"]["containers"]:
        found = next(one for one in template["spec"]["containers"] if one["name"] == container["name"])
        env = {one["name"]: one for one in found.get("env", [])} | {one["name"]: one for one in container["env"]}
        found |= container | {"env": list(env.values())}


class FakeHookReceiver:
    """A service that takes pointers: it checks the signature and takes a delivery once.

    Attributes:
        answers: statuses to answer the next requests with, before it does its work.
        takes_first: it takes a delivery though it answers with an error, as a proxy's timeout would have it.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.answers: list[int] = []
        self.takes_first = False
        self.taken: list[dict[str, Any]] = []
        self.seen: list[Request] = []
        self._known: set[str] = set()

    def __call__(self, request: Request) -> Reply:
        self.seen.append(request)
        if not self._signed(request):
            return 401, {"error": "bad signature"}
        error = self.answers.pop(0) if self.answers else None
        if error is not None and not self.takes_first:
            return error, {"error": f"told to say {error}, with {self.secret}"}
        if request.method == "GET":
            return (200, self.taken[-1]) if self.taken else (404, {})
        delivery = request.headers["idempotency-key"]
        if delivery not in self._known:
            self._known.add(delivery)
            self.taken.append(json.loads(request.body))
        return (error, {}) if error is not None else (202, {})

    def _signed(self, request: Request) -> bool:
        delivery, at = request.headers["x-nightshift-delivery-id"], request.headers["x-nightshift-timestamp"]
        text = f"{delivery}.{at}.{request.body.decode()}"
        mac = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest()
        return hmac.compare_digest(
            request.headers["x-nightshift-signature"], "v1," + base64.b64encode(mac).decode("utf-8")
        )


class FakeOpenAi:
    """An OpenAI-compatible API over a function from a conversation to an answer.

    Attributes:
        models: what it lists: id → root. None: it has no such list.
        logprobs: it knows the option; answers then carry those that ``says`` gives.
    """

    def __init__(self, says: Callable[[list[dict[str, str]], int], tuple[str, list[float]]], **models: str) -> None:
        self.says = says
        self.models: dict[str, str] | None = models or {"served": ""}
        self.logprobs = False
        self.key: str | None = None
        self.down = False
        self.list_status = 200
        self.answers_as: str | None = None
        self.asked = 0

    def __call__(self, request: Request) -> Reply:
        if self.down:
            return 503, {"error": "loading"}
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": "no"}
        if request.path == "/v1/models":
            if self.models is None or self.list_status != 200:
                return (404 if self.models is None else self.list_status), {"error": "no list"}
            rows = [{"id": id_, "object": "model", "root": root} for id_, root in self.models.items()]
            return 200, {"object": "list", "data": rows}
        body = json.loads(request.body)
        if "logprobs" in body and not self.logprobs:
            return 422, {"error": "unexpected parameter logprobs"}
        assert body["temperature"] == 0
        self.asked += 1
        text, logprobs = self.says(body["messages"], body["max_tokens"])
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }
        if self.logprobs:
            choice["logprobs"] = {"content": [{"token": "x", "logprob": one} for one in logprobs]}
        return 200, {"object": "chat.completion", "model": self.answers_as or body["model"], "choices": [choice]}


def certificate(folder: Path) -> tuple[Path, str]:
    """A new certificate for 127.0.0.1 that signs itself: a file with its key, and its PEM, which is its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "outside")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + pem)
    return file, pem.decode()
