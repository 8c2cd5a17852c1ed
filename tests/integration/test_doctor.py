# SPDX-License-Identifier: Apache-2.0
"""doctor tells each fact, and its exit code says whether uploads with a hash work."""
import platform
import re

FACTS = {"kernel", "lockdown", "capabilities", "bpf", "tap", "tap network", "tls module", "kTLS",
         "NIC offload", "io_uring", "credentials", "region", "endpoint"}


def facts_of(result):
    """{name: (word, text)} of the lines; their columns are divided by two blanks or more."""
    facts = {}
    for line in result.stdout.splitlines():
        word, name, text = re.fullmatch(r"(ok|info|missing) +(\S.*?)  +(\S.*)", line).groups()
        facts[name] = (word, text)
    return facts


def test_all_is_well(program, ceph, ktls_here):
    result = program.run(["doctor", "--endpoint-url", ceph.https_url],
                         program.environment(ceph)).expect(0)
    facts = facts_of(result)
    assert FACTS <= set(facts), result
    for name in ("kernel", "capabilities", "bpf", "tap", "io_uring", "credentials", "endpoint"):
        assert facts[name][0] == "ok", result
    assert platform.release() in facts["kernel"][1]
    assert "environment" in facts["credentials"][1]
    assert ceph.access_key[-4:] in facts["credentials"][1]
    assert ceph.access_key not in result.stdout
    assert ceph.https_url in facts["endpoint"][1] and "TLSv1." in facts["endpoint"][1]
    for name in ("tls module", "kTLS"):
        assert facts[name][0] == ("ok" if ktls_here else "missing"), result


def test_without_an_endpoint(program):
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret",
                              AWS_REGION="eu-central-1")
    facts = facts_of(program.run(["doctor"], env).expect(0))
    assert facts["endpoint"][0] == "info"
    assert facts["region"] == ("ok", "eu-central-1")


def test_without_a_region(program):
    """AWS needs one, and put would refuse."""
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret")
    facts = facts_of(program.run(["doctor"], env).expect(3))
    assert facts["region"][0] == "missing" and "--region" in facts["region"][1]


def test_stdout_that_is_full(program):
    with open("/dev/full", "wb") as full:
        result = program.run(["doctor", "--no-sign-request", "--region", "x"], stdout=full)
    result.expect(3, "stdout")


def test_without_credentials(program):
    result = program.run(["doctor"]).expect(3)
    assert facts_of(result)["credentials"][0] == "missing"
    facts = facts_of(program.run(["doctor", "--no-sign-request", "--region", "x"]).expect(0))
    assert facts["credentials"][0] == "info"


def test_an_endpoint_that_does_not_answer(program, ceph):
    result = program.run(["doctor", "--endpoint-url", "https://localhost:9"],
                         program.environment(ceph)).expect(3)
    word, text = facts_of(result)["endpoint"]
    assert word == "missing" and "refused" in text


def test_an_endpoint_with_another_ca(program, ceph):
    result = program.run(["doctor"], program.environment(ceph, AWS_CA_BUNDLE=None)).expect(3)
    word, text = facts_of(result)["endpoint"]
    assert word == "missing" and "--ca-bundle" in text


def test_without_capabilities(program, ceph):
    result = program.run(["doctor"], program.environment(ceph, "http"), user=65534, group=65534,
                         extra_groups=[]).expect(3)
    facts = facts_of(result)
    word, text = facts["capabilities"]
    assert word == "missing"
    for name in ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "setcap", "root"):
        assert name in text, result
    assert facts["bpf"][0] == "missing"
    assert facts["endpoint"][0] == "ok"
