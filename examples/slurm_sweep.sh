#!/bin/sh
# Every cell of every session, three starts each, on a Slurm cluster. Run on a login node, in a folder that all nodes share;
# after Ctrl-C, or when the line is lost, the tasks go on, and the same command collects them.
# usage: slurm_sweep.sh PARTITION [KEY=VALUE ...]
set -eu
partition=$1
shift
exec openretina optimize -m neuron=all session=all seed=1,2,3 output=minimal out=sweep \
    hydra/launcher=slurm hydra.launcher.partition="$partition" hydra.launcher.cpus_per_task=4 \
    hydra.launcher.time_min=60 hydra.launcher.group_size=200 "$@"
