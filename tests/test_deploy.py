"""The examples for containers and Kubernetes are what they say."""

from pathlib import Path

import yaml

from rowgraph.profiles import load_profile

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_the_cluster_of_the_example_runs_the_profile_that_lies_beside_it(tmp_path):
    volume, config, job = yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())
    (name, text), = config["data"].items()
    (tmp_path / name).write_text(text)
    assert load_profile(str(tmp_path / name)).compute.engine == "ray"
    cluster = job["spec"]["rayClusterSpec"]
    assert job["spec"]["entrypoint"].endswith(f"--profile /etc/rowgraph/{name}")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for spec in (group["template"]["spec"] for group in groups):
        mounts = {m["name"]: m["mountPath"] for c in spec["containers"] for m in c["volumeMounts"]}
        assert mounts == {"data": "/data", "profile": "/etc/rowgraph"}
        data, profile = spec["volumes"]
        assert data["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
        assert profile["configMap"]["name"] == config["metadata"]["name"]


def test_the_image_installs_extras_that_exist():
    import tomllib

    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    line = next(row for row in (DEPLOY / "Dockerfile").read_text().splitlines()
                if row.startswith("ARG EXTRAS"))
    extras = line.split('"')[1].split(",")
    assert set(extras) <= project["optional-dependencies"].keys()
