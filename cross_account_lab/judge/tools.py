"""Measure how many of the cases the tools of this machine sign right: `python -m cross_account_lab.judge.tools`."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cross_account_lab.judge.judge import SignedApi, serve

CASES = [
    case
    for case in json.loads(Path(__file__).with_name("cases.json").read_text())["cases"]
    if case["kind"] in ("query", "path", "body")
]
"""Those that depend on the signer alone."""

_KEYS = "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"
_CURL = (
    f'curl --silent --globoff --aws-sigv4 "aws:amz:$API_REGION:execute-api" --user "{_KEYS}"'
    ' --header "X-Amz-Security-Token: $AWS_SESSION_TOKEN" --request "$METHOD"'
    ' ${BODY:+--header "Content-Type: $TYPE"} ${BODY:+--data-binary "$BODY"} "$URL"'
)
_AWSCURL = (
    '"$PYTHON" -m awscurl --service execute-api --region "$API_REGION" --request "$METHOD"'
    ' ${BODY:+--header "Content-Type: $TYPE"} ${BODY:+--data "$BODY"} "$URL"'
)
_BOTOCORE = """
request = AWSRequest(method, url, headers, body)
SigV4Auth(Session().get_credentials(), "execute-api", region).add_auth(request)
requests.request(method, url, headers=dict(request.headers), data=body)
"""
_CLIENT = """
client = Client(os.environ["API_URL"], region=region)
requests.request(method, url, headers=headers, data=body, auth=client.auth)
"""
_HTTPX2 = """
client = Client(os.environ["API_URL"], region=region)
httpx2.request(method, url, headers=headers, content=body, auth=client.auth)
"""
_PYTHON = """
import os, requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session
{imports}
method, url, region = os.environ["METHOD"], os.environ["URL"], os.environ["API_REGION"]
body = os.environ["BODY"].encode()
headers = {{"Content-Type": os.environ["TYPE"]}} if body else {{}}
"""
_NODE = """
import {{ createRequire }} from "node:module";
import http from "node:http";
const require = createRequire(process.env.NODE_MODULES + "/");
const {{ METHOD: method, BODY: body, TYPE: type, API_REGION: region, URL: address }} = process.env;
const url = new URL(address);
const credentials = {{ accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
  sessionToken: process.env.AWS_SESSION_TOKEN }};
const headers = body ? {{ "Content-Type": type }} : {{}};
const deliver = (request) => http.request(request, (response) => response.resume()).end(body);
{code}
"""
_AWS4 = """
deliver(require("aws4").sign({ method, host: url.host, hostname: url.hostname, port: url.port,
  path: url.pathname + url.search, service: "execute-api", region, headers, body: body || undefined }, credentials));
"""
_AWS4FETCH = """
const { AwsClient } = await import(process.env.NODE_MODULES + "/aws4fetch/dist/aws4fetch.esm.mjs");
await new AwsClient({ ...credentials, service: "execute-api", region, retries: 0 })
  .fetch(address, { method, headers, body: body || undefined });
"""
_SMITHY = """
const { SignatureV4 } = require("@smithy/signature-v4");
const query = {};
for (const item of url.search.slice(1).split("&").filter(Boolean)) {
  const [name, value = ""] = item.split("=").map(decodeURIComponent);
  query[name] = name in query ? [query[name], value].flat() : value;
}
const { Sha256 } = require("@aws-crypto/sha256-js");
const signer = new SignatureV4({ credentials, region, service: "execute-api", sha256: Sha256 });
const { hostname, port, pathname } = url;
const signed = await signer.sign({ method, protocol: "http:", hostname, port: Number(port), path: pathname, query,
  headers: { ...headers, host: url.host }, body: body || undefined });
deliver({ method, hostname, port, path: pathname + url.search, headers: signed.headers });
"""


@dataclass(frozen=True)
class Tool:
    """A tool, and the command with which it sends the request that the environment describes."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def find_tools(node_modules: Path | None) -> Iterator[Tool]:
    """Yield what is installed here; packages of Node are looked for in a folder."""
    if curl := shutil.which("curl"):
        version = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        yield Tool(f"curl {version} `--aws-sigv4`", ("sh", "-c", _CURL), {})
    if importlib.util.find_spec("awscurl"):
        yield Tool(f"awscurl {_version('awscurl')}", ("sh", "-c", _AWSCURL), {"PYTHON": sys.executable})
    for name, imports, code in (
        (f"botocore {_version('botocore')}, requests", "", _BOTOCORE),
        ("`client.auth`, requests", "from cross_account_api import Client", _CLIENT),
        ("`client.auth`, httpx2", "import httpx2\nfrom cross_account_api import Client", _HTTPX2),
    ):
        yield Tool(name, (sys.executable, "-c", _PYTHON.format(imports=imports) + code), {})
    if node_modules and shutil.which("node"):
        for package, code in (("aws4", _AWS4), ("aws4fetch", _AWS4FETCH), ("@smithy/signature-v4", _SMITHY)):
            if (manifest := node_modules / package / "package.json").exists():
                command = ("node", "--input-type=module", "-e", _NODE.format(code=code))
                name = f"{package} {json.loads(manifest.read_text())['version']} (Node)"
                yield Tool(name, command, {"NODE_MODULES": str(node_modules)})


def find_wrong(tool: Tool, api: SignedApi, cases: Sequence[Mapping[str, Any]] = CASES) -> dict[str, str]:
    """Return the cases that a tool signs wrong, or does not send, with the judge's reason."""
    wrong = {}
    for case in cases:
        api.judge.verdicts.clear()
        request = {
            "METHOD": case["method"],
            "URL": api.url + case["path"],
            "BODY": case.get("body", ""),
            "TYPE": case.get("content_type", ""),
        }
        environment = {**os.environ, **api.environment, **tool.environment, **request}
        ran = subprocess.run(tool.command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        verdicts = list(api.judge.verdicts)
        if not verdicts or not verdicts[-1].access_key:
            said = verdicts[-1].differences if verdicts else (ran.stderr.strip()[-200:] or "nothing was sent",)
            wrong[f"{case['kind']}: {case['name']}"] = " ".join(said)
    return wrong


def table(node_modules: Path | None) -> str:
    """Return the table of tools for the documentation, with the day on which it was measured."""
    lines = [f"| tool ({datetime.now(UTC):%Y-%m-%d}) | right of {len(CASES)} | wrong |", "|---|---|---|"]
    with serve() as api:
        for tool in find_tools(node_modules):
            wrong = find_wrong(tool, api)
            names = "; ".join(re.sub("^body: ", "", name) for name in wrong) or "none"
            lines.append(f"| {tool.name} | {len(CASES) - len(wrong)} | {names} |")
    return "\n".join(lines)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m cross_account_lab.judge.tools", description=__doc__)
    parser.add_argument("--node-modules", type=Path, help="a folder with aws4, aws4fetch or @smithy/signature-v4")
    sys.stdout.write(table(parser.parse_args().node_modules) + "\n")


if __name__ == "__main__":
    main()
