"""The batch script: what Slurm is told, and that nothing in a name or option can tell it more."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.launch import Mount
from infra.slurm.script import SlurmOptions, batch_script
from tests.unit.infra.slurm.examples import launch


def directives(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]


def test_the_script_asks_for_what_the_launch_needs() -> None:
    asked = directives(batch_script(launch(), SlurmOptions(account="ai", partition="mi355x", qos="night")))
    assert {
        "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=mi355x:8", "--cpus-per-task=96", "--mem=524288M",
        "--time=480", "--account=ai", "--partition=mi355x", "--qos=night", "--signal=USR1@120", "--requeue",
    } <= set(asked)  # fmt: skip


def test_an_unset_option_is_left_to_the_site() -> None:
    asked = directives(batch_script(launch(memory_bytes=None), SlurmOptions()))
    assert not [
        line for line in asked if line.startswith(("--account", "--partition", "--qos", "--mem", "--constraint"))
    ]


def test_a_time_limit_is_rounded_up_to_slurm_s_minutes() -> None:
    assert "--time=3" in directives(batch_script(launch(seconds=121), SlurmOptions()))


def test_the_step_gets_the_cores_that_the_job_has() -> None:
    assert "srun --ntasks-per-node=1 --cpus-per-task=96 " in batch_script(launch(), SlurmOptions())


def test_a_job_without_accelerators_asks_for_none() -> None:
    script = batch_script(launch(gpu=None, gpus_per_node=0), SlurmOptions())
    assert "gpus-per-node" not in script


def test_the_worker_s_environment_stays_out() -> None:
    script = batch_script(launch(), SlurmOptions())
    assert "--export=NONE" in directives(script)
    assert "export SLURM_EXPORT_ENV=ALL" in script  # else srun would start from nothing


def test_an_image_runs_under_apptainer_with_the_vendor_s_devices_and_its_places_bound() -> None:
    image = "registry/night@sha256:" + "0" * 64
    script = batch_script(
        launch(image=image, mounts=(Mount(source="/data", target="/mnt/data", read_only=True),)), SlurmOptions()
    )
    srun = shlex.split(next(line for line in script.splitlines() if line.startswith("srun")))
    assert srun[4:7] == ["apptainer", "exec", "--rocm"]
    assert f"docker://{image}" in srun
    assert "/data:/mnt/data:ro" in srun
    assert "/srv/nightshift:/srv/nightshift" in srun
    assert "--nv" in batch_script(launch(image=image, gpu="h200"), SlurmOptions())


def test_further_options_and_modules_are_handed_on() -> None:
    script = batch_script(launch(modules=("rocm/7.0",)), SlurmOptions(options=("--exclusive",), requeue=False))
    assert {"--exclusive", "--no-requeue"} <= set(directives(script))
    assert "module load rocm/7.0" in script


@pytest.mark.parametrize("value", ["a b", "a\n#SBATCH --uid=0", "a;reboot", "a'b", 'a"b', "$(reboot)"])
def test_an_option_that_could_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        SlurmOptions(account=value)


@given(st.text(min_size=1, max_size=60))
def test_whatever_a_name_or_folder_holds_the_script_is_still_one_bash_program_with_its_own_lines(text: str) -> None:
    plain = batch_script(launch(), SlurmOptions())
    script = batch_script(launch(name=text), SlurmOptions())
    assert len(script.splitlines()) == len(plain.splitlines())
    assert len(directives(script)) == len(directives(plain))


def test_bash_reads_the_script() -> None:
    script = batch_script(launch(folder="/home/it's here/$x", name="night's `work`"), SlurmOptions())
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


def test_an_option_of_sbatch_is_one_option_on_one_line() -> None:
    for bad in ("--uid=0\n#SBATCH --x", "reboot", "-- x"):
        with pytest.raises(ValidationError):
            SlurmOptions(options=(bad,))
