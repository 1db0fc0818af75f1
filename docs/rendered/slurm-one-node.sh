#!/bin/bash
# Written by Nightshift: align support-8b-2026-11-26-0200
#SBATCH --job-name=ns-0123456789ab-0
#SBATCH --comment='align support-8b-2026-11-26-0200'
#SBATCH --chdir=/srv/nightshift/checkout
#SBATCH --output=/srv/nightshift/work/align-0123456789abcdef/slurm.log
#SBATCH --open-mode=append
#SBATCH --account=alignment
#SBATCH --partition=mi355x
#SBATCH --qos=night
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=96
#SBATCH --gpus-per-node=mi355x:8
#SBATCH --mem=1048576M
#SBATCH --time=360
#SBATCH --signal=USR1@120
#SBATCH --export=NONE
#SBATCH --requeue
set -u
export SLURM_EXPORT_ENV=ALL
module load rocm/7.0
export HF_HUB_OFFLINE=1
export NIGHTSHIFT_HOME=/srv/nightshift
export PYTHONUNBUFFERED=1
export PYTHONPATH=/srv/nightshift/checkout
srun --ntasks-per-node=1 --cpus-per-task=96 --kill-on-bad-exit=1 /srv/nightshift/checkout/.venv/bin/python -m infra.job_program /srv/nightshift/work/align-0123456789abcdef/launch.json
