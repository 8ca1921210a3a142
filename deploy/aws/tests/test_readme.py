"""The commands of the README: the outputs that they read exist, and a task gets what is meant.

A stub takes the place of the AWS CLI.
"""

import json
import re
import subprocess
from pathlib import Path

from deploy.aws.app import BASE, SERVICES
from deploy.aws.tests.conftest import AWS_FOLDER
from deploy.aws.tests.test_templates import Templates, containers

TEXT = (AWS_FOLDER / "README.md").read_text()
BLOCKS = [
    re.sub(r"^ {3}", "", block, flags=re.MULTILINE)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
]
STACKS = {"base": BASE, "services": SERVICES}
STUB = """#!/bin/sh
printf '%s\\0' "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
case "$*" in *run-task*) echo arn:aws:ecs:us-east-1:1:task/cluster/0123;; *) echo "$2-x";; esac
"""


def test_every_output_that_a_command_reads_exists(templates: Templates) -> None:
    read = re.findall(r"\$\(out (\w+) (\w+)\)", TEXT)
    assert read
    for stack, output in read:
        assert output in templates[STACKS[stack]]["Outputs"], output


def test_every_block_of_commands_is_one_of_a_shell() -> None:
    for block in BLOCKS:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_a_command_in_the_network_reaches_the_container_of_runs(
    templates: Templates, tmp_path: Path
) -> None:
    functions = "\n".join(
        function
        for block in BLOCKS
        for function in re.findall(r"^\w+\(\) \{.*?^\}", block, re.DOTALL | re.MULTILINE)
    )
    (tmp_path / "aws").write_text(STUB)
    (tmp_path / "aws").chmod(0o755)
    subprocess.run(
        ["bash", "-ec", f"{functions}\nin_vpc topics apply --yes"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")},
        check=True,
        timeout=60,
    )
    calls = [line.split("\0") for line in (tmp_path / "calls").read_text().splitlines()]
    [task] = [call for call in calls if "run-task" in call]
    [override] = json.loads(task[task.index("--overrides") + 1])["containerOverrides"]
    assert override == {"name": "run", "command": ["polygon-assets", "topics", "apply", "--yes"]}
    container = containers(templates)[override["name"]]
    # The entry point stays, so it must run any command.
    assert container["EntryPoint"] == ["env"]
    [tail] = [call for call in calls if "tail" in call]
    prefix = container["LogConfiguration"]["Options"]["awslogs-stream-prefix"]
    assert f"{prefix}/{container['Name']}/0123" in tail
