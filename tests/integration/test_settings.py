# SPDX-License-Identifier: Apache-2.0
"""Where credentials, region, endpoint and CA come from, and which of two holds."""
import functools
import json
import os
import re
import subprocess

import pytest

from kit.checks import assert_object, assert_result
from kit.program import Result, assert_no_secrets
from kit.proxy import Proxy
from rig.process import REPO


@pytest.fixture
def upload(program, payloads, ceph, ceph_bucket, key):
    """upload(env, *options): put with exactly that environment; checks object and result."""

    def run(env, *options):
        payload = payloads.get(65537)
        result = program.run(["put", payload.path, f"s3://{ceph_bucket}/{key}", "--json", *options],
                             program.environment(**env), secrets=[ceph.secret_key])
        if result.returncode == 0:
            assert_result(result, payload)
            assert_object(ceph, ceph_bucket, key, payload)
        return result

    return run


@pytest.fixture
def keys(ceph):
    return {"AWS_ACCESS_KEY_ID": ceph.access_key, "AWS_SECRET_ACCESS_KEY": ceph.secret_key}


@pytest.fixture
def files(ceph, tmp_path):
    """Both shared files, and the environment that names them."""
    (tmp_path / "credentials").write_text(
        "# a comment\n"
        "[default]\n"
        "aws_access_key_id = nobody\n"
        "aws_secret_access_key = wrong-wrong-wrong\n"
        "\n"
        "[rig]\n"
        f"aws_access_key_id={ceph.access_key}\n"
        f"aws_secret_access_key   =   {ceph.secret_key}  \n")
    (tmp_path / "config").write_text(
        "[default]\n"
        "region = us-east-1\n"
        "[profile rig]\n"
        f"region = {ceph.region}\n"
        f"endpoint_url = {ceph.https_url}\n"
        f"ca_bundle = {ceph.ca}\n"
        "[profile elsewhere]\n"
        "endpoint_url = http://127.0.0.1:9\n"
        "[profile both]\n"
        f"aws_access_key_id = {ceph.access_key}\n"
        f"aws_secret_access_key = {ceph.secret_key}\n"
        f"ca_bundle = {ceph.ca}\n"
        "services = here\n"
        "[services here]\n"
        "s3 =\n"
        f"  endpoint_url = {ceph.https_url}\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_CONFIG_FILE": str(tmp_path / "config")}


def test_all_from_the_environment(upload, ceph, keys):
    upload({**keys, "AWS_ENDPOINT_URL": ceph.https_url, "AWS_CA_BUNDLE": ceph.ca}).expect(0)


def test_all_from_a_profile(upload, files):
    upload({**files, "AWS_PROFILE": "rig"}).expect(0)
    upload(files, "--profile", "rig").expect(0)


def test_all_from_the_config_file(upload, files):
    upload(files, "--profile", "both").expect(0)


def test_files_in_the_home_folder(upload, files, tmp_path):
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    for variable, path in files.items():
        (home / ".aws" / path.rsplit("/", 1)[1]).write_bytes(open(path, "rb").read())
    upload({"HOME": str(home), "AWS_PROFILE": "rig"}).expect(0)


def test_an_option_holds_over_the_environment(upload, ceph, keys, files):
    env = {**keys, **files, "AWS_PROFILE": "elsewhere", "AWS_CA_BUNDLE": "/nonexistent",
           "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "mars-1"}
    upload(env, "--endpoint-url", ceph.https_url, "--ca-bundle", ceph.ca, "--region",
           ceph.region).expect(0)
    upload(env).expect(4)


def test_the_endpoint_of_the_service_holds_over_the_general_one(upload, ceph, keys):
    upload({**keys, "AWS_CA_BUNDLE": ceph.ca, "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_S3": ceph.https_url}).expect(0)


def test_the_environment_holds_over_the_profile(upload, ceph, keys, files):
    """The default profile's credentials are wrong."""
    place = {"AWS_ENDPOINT_URL": ceph.http_url}
    upload({**files, **place}).expect(5, "InvalidAccessKeyId")
    upload({**files, **keys, **place}).expect(0)


def test_a_profile_by_option_holds_over_environment_credentials(upload, files):
    wrong = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "wrong-wrong-wrong"}
    upload({**files, **wrong}, "--profile", "rig").expect(0)


def test_a_session_token_is_sent_signed_and_not_shown(upload, ceph, keys):
    """Ceph takes no notice of one that it does not know; -v must not show it."""
    seen = []
    with Proxy(ceph.http_url, edit=lambda request: seen.append(request) or request) as proxy:
        upload({**keys, "AWS_SESSION_TOKEN": "token-token-token-token",
                "AWS_ENDPOINT_URL": proxy.url}, "-v").expect(0)
    head = seen[0].split(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-amz-security-token: token-token-token-token" in head
    signed = re.search(rb"signedheaders=([^, ]*)", head).group(1).split(b";")
    assert b"x-amz-security-token" in signed and b"host" in signed


def test_no_credentials(upload, ceph, tmp_path):
    env = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL": ceph.http_url}
    upload(env).expect(1, "credentials", "AWS_ACCESS_KEY_ID", "--no-sign-request")


@pytest.mark.parametrize("half", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_pair(upload, ceph, keys, files, half):
    """It must not fall through to other credentials than the user meant."""
    env = {**files, "AWS_ENDPOINT_URL": ceph.http_url, half: keys[half]}
    upload(env).expect(1, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_an_unknown_profile(upload, ceph, files):
    env = {**files, "AWS_ENDPOINT_URL": ceph.http_url}
    upload(env, "--profile", "absent").expect(1, "absent")
    upload({**env, "AWS_PROFILE": "absent"}).expect(1, "absent")


def test_a_file_that_is_no_config(upload, ceph, keys, tmp_path):
    (tmp_path / "config").write_bytes(b"[default\nregion us-east-1\n")
    env = {**keys, "AWS_ENDPOINT_URL": ceph.http_url, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    upload(env).expect(1, str(tmp_path / "config"), "line 1")


@pytest.mark.parametrize("bundle", ["missing", "empty", "no-pem"])
def test_a_ca_bundle_that_cannot_be_used(upload, ceph, keys, tmp_path, bundle):
    (tmp_path / "empty").write_text("")
    (tmp_path / "no-pem").write_text("no certificate\n")
    env = {**keys, "AWS_ENDPOINT_URL": ceph.https_url, "AWS_CA_BUNDLE": str(tmp_path / bundle)}
    upload(env).expect(1, str(tmp_path / bundle))


@pytest.mark.parametrize("setting", ["role_arn = arn:aws:iam::1:role/x",
                                     "credential_process = /bin/true", "sso_session = x"])
def test_credentials_that_are_not_supported_are_named(upload, ceph, tmp_path, setting):
    (tmp_path / "config").write_text(f"[profile p]\n{setting}\n")
    env = {"AWS_ENDPOINT_URL": ceph.http_url, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    upload(env, "--profile", "p").expect(1, setting.split()[0], "not supported")


BUCKET, REGION = "seeds-bucket", "eu-west-3"


@pytest.fixture(scope="module")
def aws_host(work_dir):
    """Host name and TLS folder of AWS's endpoint with the bucket in front."""
    host = f"{BUCKET}.s3.{REGION}.amazonaws.com"
    subprocess.run([REPO / "tools" / "make-ca.sh", work_dir / "aws-tls", host], check=True)
    return host, work_dir / "aws-tls"


def run_at_aws(program, aws_host, cwd, *args):
    host, folder = aws_host
    env = program.environment(
        AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret-access-key",
        AWS_CA_BUNDLE=str(folder / "ca.pem"), PYTHONPATH=str(REPO / "tests"))
    argv = ["unshare", "--net", "--mount", "--propagation", "private", "/usr/bin/python3", "-m",
            "kit.aws_stand_in", folder, host, "--", program.path, *args]
    ended = subprocess.run(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, check=True, timeout=60)
    said = json.loads(ended.stdout)
    result = Result([program.path, *args], said["returncode"], said["stdout"], said["stderr"], 60)
    assert_no_secrets(result, ["some-secret-access-key"])
    return said["asked"], result


@pytest.mark.parametrize("file, key, more, moved", [
    ("./Ä file", "/%C3%84%20file", [], "sendfile"),
    ("folder/file", "/folder/file", ["--splice"], "splice"),
])
def test_the_short_form_goes_to_aws(program, payloads, aws_host, tmp_path, file, key, more, moved):
    """Its host name, virtual-hosted, with SNI, verified; the key is the file as given."""
    (tmp_path / "folder").mkdir()
    payload = payloads.write(tmp_path / file, 65537)
    asked, result = run_at_aws(program, aws_host, tmp_path, *more, "--file", file, "--bucket",
                               BUCKET, "--region", REGION)
    result.expect(0)
    assert asked["sni"] == asked["headers"]["host"] == aws_host[0]
    assert asked["request"] == f"PUT {key} HTTP/1.1"
    assert asked["sha256"] == payload.sha256
    assert asked["headers"]["x-amz-sdk-checksum-algorithm"] == "SHA256"
    assert re.match(rf"AWS4-HMAC-SHA256 Credential=some-key-id/\d{{8}}/{REGION}/s3/aws4_request, ",
                    asked["headers"]["authorization"])
    assert f"moved: {moved}, " in result.stdout and "store: confirmed" in result.stdout
    assert f"sha256 {payload.sha256}, hashed: bpf" in result.stdout


def test_put_without_an_endpoint_goes_to_aws(program, payloads, aws_host, tmp_path):
    payload = payloads.get(1)
    asked, result = run_at_aws(program, aws_host, tmp_path, "put", payload.path,
                               f"s3://{BUCKET}/a/key", "--region", REGION, "--json")
    assert result.expect(0).json["endpoint"] is None or aws_host[0].endswith(
        result.json["endpoint"].removeprefix("https://"))
    assert asked["request"] == "PUT /a/key HTTP/1.1"


def test_a_region_is_needed_at_aws(program, payloads):
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret")
    program.run(["put", payloads.get(1).path, "s3://bucket/key"], env, timeout=10).expect(
        1, "region", "--region")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_short_form_takes_no_endpoint(program, payloads, aws_host, monkeypatch, name):
    """Wherever it is configured: the seed knew none, and goes to AWS."""
    with_endpoint = functools.partial(program.environment, **{name: "http://127.0.0.1:9"})
    monkeypatch.setattr(program, "environment", with_endpoint)
    payload = payloads.get(1)
    asked, result = run_at_aws(program, aws_host, payload.path.parent, "--file", payload.path.name,
                               "--bucket", BUCKET, "--region", REGION)
    result.expect(0)
    assert asked["sni"] == asked["headers"]["host"] == aws_host[0]
    assert asked["sha256"] == payload.sha256


def test_credentials_from_a_pipe(program, payloads):
    """They are read more than once, which would find the pipe empty."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"[default]\naws_access_key_id = some-key-id\n"
                        b"aws_secret_access_key = some-secret-access-key\n")
    os.close(write_end)
    path = f"/dev/fd/{read_end}"
    env = program.environment(AWS_SHARED_CREDENTIALS_FILE=path)
    result = program.run(["put", payloads.get(1).path, "s3://bucket/key", "--endpoint-url",
                          "http://127.0.0.1:9"], env, timeout=10, pass_fds=[read_end],
                         secrets=["some-secret-access-key"])
    os.close(read_end)
    result.expect(1, path, "pipe", "write it to a file")
