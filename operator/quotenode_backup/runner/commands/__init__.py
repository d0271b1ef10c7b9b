"""One module for each command of the runner: the plan of a Job, carried out."""
