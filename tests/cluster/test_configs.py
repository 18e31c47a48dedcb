"""The cluster files: Ray accepts them, and AWS, simulated by moto, creates what they describe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..chaos.faults import KEYS, NOT_OURS

ROOT = Path(__file__).parents[2]
FILES = ["cluster.yaml", "clusters/rack.yaml", "clusters/workstation.yaml"]
STACK = ROOT / "clusters" / "aws.yaml"


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def prepared(name):
    """Return a file's config as `ray up` prepares it before it calls any cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read(name))
    validate_config(config)
    return config


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file_and_adds_no_command(name):
    config = prepared(name)
    # None of Ray's defaults, such as the installation of another Ray, is in it.
    assert config["setup_commands"] == read(name)["setup_commands"]
    assert config["head_setup_commands"][: len(config["setup_commands"])] == config["setup_commands"]
    assert ["ray start" in line for line in config["head_start_ray_commands"]] == [False, True]
    assert config["worker_start_ray_commands"] == ["ray stop", "bash ~/lvae/clusters/join.sh"]


@pytest.mark.parametrize("name", FILES)
def test_every_path_that_a_file_sends_is_in_the_checkout(name):
    local = [path for path in read(name)["file_mounts"].values() if not path.startswith("~")]
    assert [path for path in local if not (ROOT / path).exists()] in ([], ["data"])
    packages = {"lvae_core", "sweeps", "analysis"}
    assert packages <= set(local)


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_no_secret_and_opens_no_dashboard(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"(?i)(aws_(secret_)?access_key|RAY_AUTH_TOKEN\s*=|AKIA[0-9A-Z]{16})", text)
    config = read(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    (head,) = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in head


def test_every_shell_on_a_node_requires_the_token(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f". {ROOT}/clusters/env.sh; echo $RAY_AUTH_MODE; echo $PATH; echo $LVAE_DATA_DIR"],
        capture_output=True, text=True, timeout=20, check=True, env={"HOME": "/h", "PATH": "/bin"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["token", "/h/lvae/.venv/bin:/bin", "/h/lvae/data"]
    for name in FILES:
        assert any("clusters/env.sh" in line for line in read(name)["setup_commands"])


def test_the_files_differ_only_in_name_and_provider():
    cluster, rack, workstation = map(read, FILES)
    assert {key for key in rack if rack[key] != workstation[key]} == {"cluster_name", "provider"}
    for key in ("file_mounts", "rsync_exclude", "setup_commands", "worker_start_ray_commands"):
        assert cluster[key] == rack[key]


def test_versions_are_pinned():
    for name in FILES:
        (install,) = [line for line in read(name)["setup_commands"] if "pip install" in line]
        assert "-c constraints.txt" in install
    names = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {"ray", "torch", "numpy", "boto3", "s3fs", "aiohttp-cors"} <= names
    # An id never changes; a name such as "latest" does.
    assert re.fullmatch(r"ami-[0-9a-f]{17}", read("cluster.yaml")["metadata"]["image"])


def test_the_head_takes_no_runs_and_the_workers_are_spot_and_may_be_none():
    config = prepared("cluster.yaml")
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert len({kind["node_config"]["InstanceType"] for kind in types.values()}) == 2
    for kind in types.values():
        assert kind["min_workers"] == 0
        assert kind["resources"]["GPU"] == 1
        assert kind["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert len(config["provider"]["availability_zone"].split(",")) >= 3
    assert config["idle_timeout_minutes"] <= 10


@pytest.mark.slow
def test_the_stack_passes_cfn_lint():
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(STACK)]
    done = subprocess.run(lint, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """boto3 with moto's AWS in this process, the deployed stack, and a temporary home for Ray's key."""
    import boto3
    from moto import mock_aws

    values = {"Bucket": "results", "SshFrom": "203.0.113.7/32"}
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in KEYS.items():
            patch.setenv(name, value)
        for name in (*NOT_OURS, "AWS_ENDPOINT_URL"):  # moto answers for AWS's own addresses
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        boto3.client("cloudformation").create_stack(
            StackName="lvae",
            TemplateBody=STACK.read_text(),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        yield boto3


@pytest.fixture(scope="module")
def bootstrapped(aws):
    """``cluster.yaml`` after Ray has completed it with AWS, with an image id that moto knows."""
    from ray.autoscaler._private.aws import config as ray_aws
    from ray.autoscaler._private.aws.utils import resource_cache

    resource_cache.cache_clear()
    ray_aws._get_subnets_or_die.cache_clear()
    image = aws.client("ec2").describe_images()["Images"][0]["ImageId"]
    config = prepared("cluster.yaml")
    for kind in config["available_node_types"].values():
        kind["node_config"]["ImageId"] = image
    return ray_aws.bootstrap_aws(config)


def test_only_ssh_is_open_and_only_to_one_address_range(aws, bootstrapped):
    groups = {g for kind in bootstrapped["available_node_types"].values()
              for g in kind["node_config"]["SecurityGroupIds"]}  # fmt: skip
    (group,) = aws.client("ec2").describe_security_groups(GroupIds=sorted(groups))["SecurityGroups"]
    assert group["GroupName"] == read("cluster.yaml")["provider"]["security_group"]["GroupName"]
    outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(r["FromPort"], r["ToPort"], [p["CidrIp"] for p in r["IpRanges"]]) for r in outside] == [
        (22, 22, ["203.0.113.7/32"])
    ]
    inside = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    assert {pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]} == groups


def test_a_launch_waits_only_for_machines_that_the_autoscaler_can_add(
    aws, bootstrapped, tmp_path, monkeypatch
):
    """The launch reads the file that Ray leaves in the head's home."""
    from sweeps.checks.findings import Demand
    from sweeps.checks.preflight import may_grow

    monkeypatch.setenv("HOME", str(tmp_path))
    assert not may_grow(Demand())
    left = tmp_path / "ray_bootstrap_config.yaml"
    left.write_text(json.dumps(bootstrapped))
    assert may_grow(Demand(cpus=8, gpus=1))
    assert not may_grow(Demand(cpus=1, gpus=2))
    left.write_text(json.dumps(prepared("clusters/rack.yaml")))
    assert not may_grow(Demand(cpus=1, gpus=1))


def test_workers_can_start_in_every_zone(aws, bootstrapped):
    subnets = {
        s["SubnetId"]: s["AvailabilityZone"] for s in aws.client("ec2").describe_subnets()["Subnets"]
    }
    zones = read("cluster.yaml")["provider"]["availability_zone"].split(",")
    for kind in bootstrapped["available_node_types"].values():
        assert [subnets[subnet] for subnet in kind["node_config"]["SubnetIds"]] == zones


@pytest.mark.parametrize("kind", ["head", "gpu-l4", "gpu-a10g"])
def test_a_machine_that_aws_creates_has_the_settings_of_the_file(aws, bootstrapped, kind):
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND

    provider = AWSNodeProvider(bootstrapped["provider"], bootstrapped["cluster_name"])
    config = bootstrapped["available_node_types"][kind]["node_config"]
    provider.create_node(config, {TAG_RAY_NODE_KIND: "head" if kind == "head" else "worker"}, 1)
    (node,) = provider.non_terminated_nodes({})
    ec2 = aws.client("ec2")
    (machine,) = ec2.describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"]
    assert machine["InstanceType"] == config["InstanceType"]
    role = "lvae-head" if kind == "head" else "lvae-worker"
    assert machine["IamInstanceProfile"]["Arn"].endswith(f"instance-profile/{role}")
    assert machine.get("InstanceLifecycle", "on demand") == ("on demand" if kind == "head" else "spot")
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    volumes = [m["Ebs"]["VolumeId"] for m in machine["BlockDeviceMappings"]]
    disks = ec2.describe_volumes(VolumeIds=volumes)["Volumes"]
    assert disks
    assert all(disk["Encrypted"] for disk in disks)
    provider.terminate_node(node)
    assert provider.non_terminated_nodes({}) == []


def test_the_roles_reach_only_the_bucket_and_the_clusters_machines(aws):
    iam = aws.client("iam")
    for role in ("lvae-head", "lvae-worker"):
        (policy,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
        statements = found["PolicyVersion"]["Document"]["Statement"]
        assert {s["Resource"] for s in statements} == {"arn:aws:s3:::results", "arn:aws:s3:::results/*"}
    assert iam.list_role_policies(RoleName="lvae-worker")["PolicyNames"] == []
    policy = iam.get_role_policy(RoleName="lvae-head", PolicyName="workers")["PolicyDocument"]
    statements = yaml.safe_load(str(policy))["Statement"]  # moto returns text, AWS does not
    may_terminate = [s for s in statements if "ec2:TerminateInstances" in s["Action"]]
    assert [s["Condition"] for s in may_terminate] == [
        {"StringEquals": {"aws:ResourceTag/ray-cluster-name": read("cluster.yaml")["cluster_name"]}}
    ]
    (passing,) = [s for s in statements if s["Action"] == "iam:PassRole"]
    assert passing["Resource"] == iam.get_role(RoleName="lvae-worker")["Role"]["Arn"]


class Template(yaml.SafeLoader):
    """Reads a stack; the values of its functions, such as !Ref, are None."""


Template.add_multi_constructor("!", lambda loader, name, node: None)


def test_the_bucket_is_private_and_encrypted(aws):
    rules = aws.client("s3").get_bucket_encryption(Bucket="results")["ServerSideEncryptionConfiguration"]
    assert [r["ApplyServerSideEncryptionByDefault"] for r in rules["Rules"]] == [{"SSEAlgorithm": "AES256"}]
    # moto ignores this part of a stack, so the test reads the file.
    properties = yaml.load(STACK.read_text(), Template)["Resources"]["Results"]["Properties"]
    assert properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
