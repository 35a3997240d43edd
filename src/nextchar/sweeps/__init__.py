"""Sweeps: many runs from one command, as a grid of values or a search by Optuna.

    words -> plan: the jobs, all checked -> a sweep's folder -> launch: run each job -> the table

May import training and all that stands below it. Only here are Hydra's launchers and sweep grammar used, and Optuna.

Start with `plan.plan` and `launch.run`, which tell the whole story; then module by module:

- plan.py: reads `smoothing.k=0.1,1 seed=range(5)` into jobs, or into the ranges of a search
- sweep_folder.py: sweep.json, the folders and the status of the jobs; what is resumed is read from here
- search.py: the study of a search: asks Optuna for the next trial, tells it the result, stops bad trials early
- launch.py: runs the jobs in this process or by joblib, submitit, ...; launches again what a dead worker left
- monitor.py: reports the jobs that other processes finish
- job.py: one job, in whichever process it runs
- table.py: sweep.csv and sweep.png
"""
